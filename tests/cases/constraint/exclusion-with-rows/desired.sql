create table booking (
    id integer primary key, during tsrange, constraint apart exclude using gist (during with &&)
);
