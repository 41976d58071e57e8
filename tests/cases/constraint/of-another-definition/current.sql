create table note (
    id integer primary key, stars integer, constraint few check (stars < 10), author integer,
    constraint by_one foreign key (author) references note
);
insert into note values (1, 9, 1);
