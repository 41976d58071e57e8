create table note (id integer primary key, a text);
insert into note values (1, null);
