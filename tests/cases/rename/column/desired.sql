create table person (id integer primary key, full_name text);
