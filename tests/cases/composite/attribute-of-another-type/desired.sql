create type size as (wide bigint);
create table box (id integer primary key, size size);
