create function twice(n integer, more integer) returns integer language sql
    as 'select n * 2 + more';
create function twice(n integer) returns integer language sql as 'select n * 2';
create procedure touch() language plpgsql as 'begin raise notice ''touched''; end';
create table note (id integer primary key, twice integer default twice(1));
