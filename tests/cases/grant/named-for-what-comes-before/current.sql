create table page (id integer primary key);
create table note (id integer primary key, body text);
create function f(integer) returns integer language sql as 'select $1';
create function f(text) returns text language sql as 'select $1';
create function f(integer, integer) returns integer language sql as 'select $1';
insert into page values (1);
insert into note values (1);
grant insert on page, note to pg_monitor;
grant execute on function f(integer, integer), f(text) to pg_monitor;
