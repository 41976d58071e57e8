create table place (id integer primary key);
insert into place values (1);
