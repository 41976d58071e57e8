create table note (id integer primary key, stars integer, author integer);
insert into note values (1, 9, 7);
