create table page (id integer primary key);
grant select on all tables in schema public to pg_monitor;
create table note (id integer primary key, body text);
create function f(integer) returns integer language sql as 'select $1';
create function f(text) returns text language sql as 'select $1';
create function f(integer, integer) returns integer language sql as 'select $1';
grant execute on function f(integer) to pg_monitor;
