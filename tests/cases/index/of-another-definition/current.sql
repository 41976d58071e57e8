create table note (id integer primary key, a text, b text);
create index note_a on note (a);
insert into note values (1, 'a', 'b');
