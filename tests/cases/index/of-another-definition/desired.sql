create table note (id integer primary key, a text, b text);
create index note_a on note (a, b);
