create function twice(m integer) returns bigint language sql as 'select m * 2::bigint';
create table note (id integer primary key);
