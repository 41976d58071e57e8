create type size as (wide integer, high integer);
create table box (id integer primary key, size size);
