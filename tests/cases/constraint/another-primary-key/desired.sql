create table note (id integer, code text primary key);
