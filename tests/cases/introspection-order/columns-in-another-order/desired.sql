create table note (id integer primary key, first text, body text, last text);
