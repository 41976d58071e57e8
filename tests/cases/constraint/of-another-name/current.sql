create table author (id integer constraint pk_author primary key);
create table note (
    id integer constraint pk_note primary key, stars integer constraint ck_stars check (stars > 0),
    code text constraint uq_code unique, author integer constraint fk_author references author
);
create index ix_author on note (author);
insert into author values (1);
insert into note values (1, 1, 'a', 1);
