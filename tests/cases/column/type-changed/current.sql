create table note (id integer primary key, stars integer, name varchar(10));
insert into note values (1, 2, 'a');
