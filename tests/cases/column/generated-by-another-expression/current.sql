create table note (
    id integer primary key, body text, folded text generated always as (lower(body)) stored
);
insert into note (id, body) values (1, 'Ada');
