create table note (id integer primary key, body text, at date default '2024-01-01');
insert into note values (1, 'a');
