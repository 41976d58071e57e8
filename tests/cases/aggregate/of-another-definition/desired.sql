create aggregate total (integer) (sfunc = int4mul, stype = integer);
create table note (id integer primary key);
