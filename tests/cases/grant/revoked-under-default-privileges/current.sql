alter default privileges in schema public grant select, insert on tables to pg_monitor, pg_read_all_data;
create table page (id integer primary key);
grant select, insert on page to pg_monitor, pg_read_all_data;
insert into page values (1);
