create extension if not exists citext;
create extension if not exists pg_trgm;
create table person (
    id integer primary key, email citext not null check (email like '%@%'), name text
);
create index person_name on person using gin (name gin_trgm_ops);
create index person_alike on person using gist (name gist_trgm_ops);
