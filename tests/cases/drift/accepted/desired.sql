create table note (id integer primary key, stars bigint, body text);
