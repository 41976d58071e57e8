create table note (id integer not null, a text);
insert into note values (1, 'a');
