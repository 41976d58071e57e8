create table note (id integer primary key, a text, b text unique);
create index concurrently if not exists note_a on note (a);
