create table note (
    id integer primary key, stars integer, author integer references note not enforced,
    constraint few check (stars < 5) not enforced
);
