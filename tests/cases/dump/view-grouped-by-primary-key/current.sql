create table other (id integer primary key);
insert into other values (1);
