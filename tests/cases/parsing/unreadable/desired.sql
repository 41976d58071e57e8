create table note (id integer primary key, body text);
create tabel entry (id integer primary key);
