create table note (
    id integer primary key, body text compression pglz, raw text, added bytea compression pglz
);
alter table note alter raw set storage external;
