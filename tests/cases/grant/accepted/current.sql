create table page (id integer primary key);
insert into page values (1);
grant select, insert on page to pg_monitor;
