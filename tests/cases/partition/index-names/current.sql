create table visit (id integer, place text, seen text) partition by list (place);
create table visit_a partition of visit for values in ('a');
create index visit_seen on visit (seen);
create table stay (id integer, place text) partition by list (place);
create table stay_a partition of stay for values in ('a');
create table stay_b partition of stay for values in ('b');
insert into visit values (1, 'a');
insert into stay values (1, 'a');
