create table ticket (id integer generated always as identity primary key, note text);
insert into ticket (note) values ('one'), ('two');
