alter default privileges in schema public grant select, insert on tables to pg_monitor, pg_read_all_data;
create table page (id integer primary key);
create table salary (id integer primary key, amount integer);
revoke all on salary from pg_monitor;
revoke all on salary from pg_read_all_data;
grant select on salary to pg_read_all_data;
