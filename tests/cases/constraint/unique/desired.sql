create table note (
    id integer primary key, a text unique, b text,
    constraint pair unique (a, b) include (id) deferrable initially deferred
);
