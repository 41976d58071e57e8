create table booking (id integer primary key);
insert into booking values (1);
