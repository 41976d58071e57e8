create table page (id integer primary key);
insert into page values (1);
alter default privileges in schema public grant select, insert on tables to pg_monitor;
