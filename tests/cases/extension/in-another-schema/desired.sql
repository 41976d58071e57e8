create extension if not exists citext;
set search_path = public, extensions;
create table person (id integer primary key, email citext, other citext);
