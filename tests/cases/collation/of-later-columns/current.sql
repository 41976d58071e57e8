create table note (id integer primary key);
insert into note values (1);
