create table note (
    id integer not null, body text constraint given not null, more text not null,
    other text constraint other_there not null
);
insert into note values (1, 'a', 'b', 'c');
