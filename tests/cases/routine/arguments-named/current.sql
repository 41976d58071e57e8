create function twice(integer) returns integer language sql as 'select $1 * 2';
create function far(double precision, numeric) returns numeric language sql as 'select $2';
create function other(a integer) returns integer language sql as 'select a';
create function shown(integer, out integer) language sql as 'select $1';
