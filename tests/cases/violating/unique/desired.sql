create table note (id integer primary key, code text unique, body text);
