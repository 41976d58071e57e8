create table note (
    id integer primary key, stars integer, constraint few check (stars < 5), author integer,
    constraint by_one foreign key (author) references note on delete cascade
);
