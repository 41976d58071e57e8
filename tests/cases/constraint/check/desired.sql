create table note (
    id integer primary key, stars integer check (stars between 0 and 5),
    constraint odd check (stars % 2 = 1) no inherit
);
