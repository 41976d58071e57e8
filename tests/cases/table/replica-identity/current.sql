create table note (id integer, body text);
insert into note values (1, 'a');
