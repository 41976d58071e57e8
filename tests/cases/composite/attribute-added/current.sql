create type size as (wide integer);
create table box (id integer primary key, size size);
insert into box values (1, row(2));
