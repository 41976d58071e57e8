create table person (
    id integer primary key, email citext not null, name text, check (email <> ''::citext)
);
create index person_name on person using gin (name gin_trgm_ops);
insert into person values (1, 'A@b.example', 'Ada');
