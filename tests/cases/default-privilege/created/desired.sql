create table note (id integer primary key);
create table entry (id integer primary key);
alter default privileges in schema public grant select, insert on tables to pg_monitor;
alter default privileges in schema public grant usage on sequences to pg_monitor
    with grant option;
