create table visit (id integer constraint has_id not null, place text) partition by list (place);
create table visit_a partition of visit for values in ('a');
insert into visit values (1, 'a');
