create table note (id integer primary key, body text, code text collate "C");
