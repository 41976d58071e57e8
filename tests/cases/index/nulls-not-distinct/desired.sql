create table note (id integer primary key, a text);
create unique index note_a on note (a) nulls not distinct;
