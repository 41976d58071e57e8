create table ticket (id integer primary key, note text);
insert into ticket values (1, 'one'), (2, 'two');
