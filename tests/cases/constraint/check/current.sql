create table note (id integer primary key, stars integer);
insert into note values (1, 5);
