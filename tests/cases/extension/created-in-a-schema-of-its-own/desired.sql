create schema extensions;
create extension pg_trgm with schema extensions;
create table person (id integer primary key, name text);
create index person_name on person using gin (name extensions.gin_trgm_ops);
