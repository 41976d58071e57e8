create function twice(n integer) returns integer language sql as 'select n + n';
create procedure touch() language plpgsql as 'begin end';
create table note (id integer primary key, twice integer default twice(1));
insert into note values (1);
