create table visit (id integer not null, place text not null, constraint visit_key unique (place, id)) partition by list (place);
create table visit_a partition of visit for values in ('a');
create table visit_b partition of visit for values in ('b') partition by range (id);
create table visit_b_1 partition of visit_b for values from (0) to (100);
create table visit_b_2 partition of visit_b for values from (100) to (200);
