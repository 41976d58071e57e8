create extension citext;
create extension pg_trgm;
create table person (id integer primary key, email citext not null, name text);
create index person_name on person using gin (name gin_trgm_ops);
insert into person values (1, 'A@b.example', 'Ada');
