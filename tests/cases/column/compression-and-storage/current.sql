create table note (id integer primary key, body text, raw text);
insert into note values (1, 'Ada', 'x');
