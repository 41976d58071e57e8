create table visit (id integer, place text) partition by list (place);
create table visit_a partition of visit for values in ('a');
create index visit_a_place_id_idx on visit_a (place, id);
create index more on visit_a (id);
