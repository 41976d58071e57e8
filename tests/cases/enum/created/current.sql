create table ticket (id integer primary key);
insert into ticket values (1);
