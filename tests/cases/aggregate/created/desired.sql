create table note (id integer primary key);
create function add_up(bigint, integer) returns bigint language sql immutable as 'select $1 + $2';
create aggregate total (integer) (
    sfunc = add_up, stype = bigint, initcond = '0', parallel = safe
);
create aggregate many (*) (sfunc = int8inc, stype = bigint, initcond = '0');
