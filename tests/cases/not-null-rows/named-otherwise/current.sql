create table parcel (
    id integer, weight integer not null, old integer constraint wrong not null,
    deep integer constraint nobody_says_so not null
);
create table visit (id integer, place text) partition by list (place);
create table visit_a partition of visit for values in ('a');
insert into parcel values (1, 1, 1, 1);
