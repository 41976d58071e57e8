create table note (id integer primary key, email citext, body text);
