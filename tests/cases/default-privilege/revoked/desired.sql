create table page (id integer primary key);
alter default privileges in schema public revoke insert on tables from pg_monitor;
create table salary (id integer);
