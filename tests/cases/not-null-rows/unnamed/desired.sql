create table note (
    id integer not null, body text not null, more text constraint named not null,
    other text constraint other_there not null no inherit
);
