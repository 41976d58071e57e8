create table page (id integer primary key);
create function f() returns integer language sql as 'select 1';
insert into page values (1);
grant select, insert on page to pg_monitor;
grant update (id) on page to pg_monitor;
grant select on page to public;
grant select on page to pg_signal_backend;
grant execute on function f() to pg_monitor with grant option;
