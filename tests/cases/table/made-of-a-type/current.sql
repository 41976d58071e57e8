create type person as (id integer, name text);
create table plain (id integer, name text);
create table other (name text, id integer);
create table loose of person;
insert into plain values (1, 'a');
