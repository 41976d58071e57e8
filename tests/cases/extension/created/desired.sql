create extension citext;
create table person (id integer primary key, email citext unique);
