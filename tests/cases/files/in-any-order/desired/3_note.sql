create table note (id integer primary key, author integer references author);
