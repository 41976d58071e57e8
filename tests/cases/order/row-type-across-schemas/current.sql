create schema app;
create table app.note (id integer primary key, a text);
insert into app.note values (1, 'a');
