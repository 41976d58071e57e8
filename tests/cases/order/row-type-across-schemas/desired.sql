create schema app;
create table app.note (id integer primary key, a text);
create schema lib;
create function lib.title(n app.note) returns text language sql as 'select n.a';
create function app.notes() returns setof app.note language sql as 'select * from app.note';
create table lib.entry (id integer primary key, note app.note, of integer references app.note);
create table app.cross (id integer primary key, entry integer references lib.entry, row lib.entry);
create view lib.titles as
    select n.id, lib.title(n) as title from app.note n join app.notes() m on m.id = n.id;
