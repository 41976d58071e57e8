create table note (id integer primary key, stars integer check (stars < 5), body text);
create index on note (body);
