create table note (id integer primary key, owner text);
create policy own on note using (owner = current_user);
insert into note values (1, 'ada');
