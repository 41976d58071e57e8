create type person as (id integer, name text);
create table plain of person;
create table other of person;
create table loose (id integer, name text);
