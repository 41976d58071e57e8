create table note (id integer primary key, body text);
insert into note values (1, 'a word');
