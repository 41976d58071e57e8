create table note (id integer primary key, code text, body text);
create unique index note_code on note (code) where id > 0;
