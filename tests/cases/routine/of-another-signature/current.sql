create function twice(n integer) returns integer language sql as 'select n * 2';
create table note (id integer primary key);
insert into note values (1);
