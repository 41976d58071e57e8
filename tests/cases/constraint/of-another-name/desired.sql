create table author (id integer primary key);
create table note (
    id integer primary key, stars integer check (stars > 0), code text unique,
    author integer references author
);
create index on note (author);
