create aggregate total (integer) (sfunc = int4pl, stype = integer);
create table note (id integer primary key);
insert into note values (1);
