create table note (id integer primary key, a text, b text);
create index note_a on note (a);
create unique index note_a_b on note (a desc nulls last, b);
create index on note using hash (b);
