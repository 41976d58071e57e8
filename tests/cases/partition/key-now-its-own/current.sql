create table visit (id integer, place text) partition by list (place);
create table visit_a partition of visit for values in ('a');
alter table visit add constraint visit_once unique (place, id);
insert into visit values (1, 'a');
