create table visit (id integer not null, place text not null) partition by list (place);
create table visit_a partition of visit for values in ('a');
create table visit_b partition of visit for values in ('b') partition by range (id);
create table visit_b_1 partition of visit_b for values from (0) to (100);
create table visit_b_2 partition of visit_b for values from (100) to (200);
insert into visit values (1, 'a'), (2, 'a'), (1, 'b'), (101, 'b');
create unique index visit_a_own on visit_a (place, id);
