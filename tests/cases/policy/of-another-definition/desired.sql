create table note (id integer primary key, owner text);
create policy own on note using (true);
