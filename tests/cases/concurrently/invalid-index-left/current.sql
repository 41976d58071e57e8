create table note (id integer primary key, a text, b text);
insert into note values (1, 'a', 'b');
create index note_a on note (a);
create unique index note_b_key on note (b);
update pg_index set indisvalid = false
    where indexrelid in ('note_a'::regclass, 'note_b_key'::regclass);
