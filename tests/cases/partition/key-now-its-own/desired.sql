create table visit (id integer, place text) partition by list (place);
create table visit_a partition of visit for values in ('a');
alter table visit_a add constraint visit_a_place_id_key unique (place, id);
create index more on visit_a (id);
