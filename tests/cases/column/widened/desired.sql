create table note (
    id integer primary key,
    title text not null default 'none' check (title <> ''),
    body varchar(200),
    mail text unique,
    price numeric(12, 2),
    at timestamp,
    flags bit varying
);
create index note_body on note (lower(body));
create index note_title on note (title) where title <> 'none';
create table part (id integer, name text) partition by range (id);
create table part_1 partition of part for values from (0) to (10);
