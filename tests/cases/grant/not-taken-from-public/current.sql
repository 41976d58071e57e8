create function f() returns integer language sql as 'select 1';
create table note (id integer primary key);
insert into note values (1);
