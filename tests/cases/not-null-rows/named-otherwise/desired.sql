create table parcel (
    id integer, weight integer constraint weighs not null, old integer constraint right_one not null,
    deep integer not null
);
create table visit (id integer, place text) partition by list (place);
create table visit_a partition of visit (id constraint has_id not null) for values in ('a');
create table fresh (id integer constraint has_id not null, size integer not null);
create table fresh_b (a integer, constraint has_a not null a, b integer);
