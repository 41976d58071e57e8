create type person as (id integer, name text);
create table staff of person (primary key (id));
create table plain (id integer, name text);
create table other (name text, id integer);
create table loose of person;
insert into staff values (1, 'a');
