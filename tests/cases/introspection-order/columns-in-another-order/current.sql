create table note (body text, id integer primary key);
insert into note values ('a', 1);
