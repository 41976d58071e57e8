create table note (id integer primary key);
create table booking (
    id integer primary key, room int4range, during tstzrange,
    exclude using gist (room with &&, during with &&) where (id > 0)
);
create table slot (during tsrange, exclude using gist (during with &&));
