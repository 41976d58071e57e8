create type person as (id integer, name text, mail text);
create table staff of person (primary key (id), name with options default 'x' not null);
create table plain of person;
create table other of person;
create table loose (id integer, name text, mail text);
