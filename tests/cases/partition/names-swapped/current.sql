create table visit (id integer not null, place text not null, seen text) partition by list (place);
create table visit_a (
    id integer not null, place text not null, seen text,
    constraint one unique (id, place), constraint two unique (seen, place)
);
alter table visit add constraint visit_one unique (id, place), add constraint visit_two unique (seen, place);
alter table visit attach partition visit_a for values in ('a');
insert into visit values (1, 'a');
