create table page (id integer primary key);
create function f() returns integer language sql as 'select 1';
revoke all on page from pg_monitor;
revoke all on page from public;
grant execute on function f() to pg_monitor;
