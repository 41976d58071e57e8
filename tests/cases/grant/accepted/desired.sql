create table page (id integer primary key);
grant select on page to pg_monitor;
