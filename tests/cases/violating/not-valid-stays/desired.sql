create table note (id integer primary key, stars integer, constraint few check (stars < 5));
