create table note (
    id integer primary key, body text, folded text generated always as (lower(body)) virtual,
    twice integer generated always as (id * 2)
);
