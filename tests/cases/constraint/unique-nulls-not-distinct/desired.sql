create table note (id integer primary key, a text unique nulls not distinct);
