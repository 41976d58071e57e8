create table person (id integer primary key);
insert into person values (1);
