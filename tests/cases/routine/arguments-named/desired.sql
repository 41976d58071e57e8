create function twice(n integer) returns integer language sql as 'select n * 2';
create function far(double precision, "a b" numeric default 1) returns numeric
    language sql as 'select $2';
create function other(b integer) returns integer language sql as 'select b';
create function shown(n integer, out integer) language sql as 'select n';
