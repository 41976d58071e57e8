create table shelf (
    id integer primary key with (fillfactor = 70),
    code text,
    "a WITH (b='1')" text unique,
    constraint shelf_code unique (code) include (id) with (fillfactor = 80, deduplicate_items = off)
        deferrable initially deferred
);
create table full_shelf (id integer, code text unique with (fillfactor = 90));
