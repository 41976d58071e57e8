create table note (id integer primary key, body text);
grant all on note to pg_monitor;
alter default privileges grant select on tables to pg_monitor;
insert into note values (1, 'a');
