create table note (id integer primary key, code text);
insert into note values (1, 'a'), (2, 'a');
