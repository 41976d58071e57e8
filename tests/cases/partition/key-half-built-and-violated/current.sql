create table visit (id integer not null, place text not null) partition by list (place);
create table visit_a partition of visit for values in ('a');
alter table only visit add constraint visit_key unique (place, id);
insert into visit values (1, 'a'), (1, 'a');
