create table author (id integer primary key);
create table visit (
    id integer not null, place text not null, author integer constraint visit_author references author,
    no integer generated always as identity, twice integer generated always as (id * 2) stored,
    seen text default 'no', constraint visit_pkey primary key (id, place), check (id > 0)
) partition by list (place);
create index visit_seen on visit (seen);
create table note (visit integer, place text, foreign key (visit, place) references visit);
create table visit_a (
    id integer not null, place text not null, author integer constraint a_author references author, no integer not null,
    twice integer generated always as (id * 2) stored, seen text default 'a',
    constraint a_key primary key (id, place), constraint visit_id_check check (id > 0)
);
create index a_seen on visit_a (seen);
alter table visit attach partition visit_a for values in ('a');
