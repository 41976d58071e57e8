create table visit (id integer not null, place text not null, seen text) partition by list (place);
create table visit_a partition of visit for values in ('a');
create table visit_b partition of visit for values in ('b');
insert into visit values (1, 'a'), (1, 'b');
