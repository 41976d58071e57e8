create extension hstore;
create table note (id integer primary key);
revoke execute on function hstore(text, text) from public;
grant execute on function hstore(text, text) to pg_monitor;
