create table note (
    id integer primary key,
    title varchar(10) not null default 'none' check (title <> ''),
    body varchar(20),
    mail varchar(30) unique,
    price numeric(8, 2),
    at timestamp(0),
    flags bit varying(4)
);
create index note_body on note (lower(body));
create index note_title on note (title) where title <> 'none';
insert into note values (1, 'one', 'a body', 'a@b.example', 1.50, '2024-05-05', '101');
create table part (id integer, name varchar(5)) partition by range (id);
create table part_1 partition of part for values from (0) to (10);
insert into part values (1, 'abc');
