create table ticket (id serial primary key, note text);
insert into ticket (note) values ('one'), ('two');
