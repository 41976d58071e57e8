create table author (id integer primary key);
create table note (id integer primary key, author integer, body text);
insert into author values (1);
insert into note values (1, 1, 'a'), (2, 7, 'b'), (3, null, 'c');
