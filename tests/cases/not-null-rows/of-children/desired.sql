create table visit (id integer, place text) partition by list (place);
create table visit_a partition of visit (id not null) for values in ('a');
create table visit_b partition of visit (id not null) for values in ('b');
create table plan (id integer, place text);
create table plan_a (id integer not null default 5) inherits (plan);
