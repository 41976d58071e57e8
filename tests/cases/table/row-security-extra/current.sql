create table note (id integer primary key);
alter table note enable row level security;
create policy own on note using (true);
insert into note values (1);
