create function f() returns integer language sql as 'select 1';
revoke execute on function f() from public;
create table page (id integer primary key);
insert into page values (1);
