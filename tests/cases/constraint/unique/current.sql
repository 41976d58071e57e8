create table note (id integer primary key, a text, b text);
insert into note values (1, 'a', 'b');
