create table note (
    id integer primary key, body text, folded text generated always as (upper(body)) stored
);
