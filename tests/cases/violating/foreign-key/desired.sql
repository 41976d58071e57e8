create table author (id integer primary key);
create table note (id integer primary key, author integer references author, body text);
create index on note (body);
