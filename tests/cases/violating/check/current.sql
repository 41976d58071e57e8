create table note (id integer primary key, stars integer, body text);
insert into note values (1, 9, 'a'), (2, 3, 'b');
