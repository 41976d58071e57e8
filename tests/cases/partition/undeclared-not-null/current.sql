create table visit (id integer, place text, seen text not null) partition by list (place);
create table visit_a partition of visit for values in ('a');
create table visit_b partition of visit for values in ('b');
create table parent (id integer not null);
create table child (name text) inherits (parent);
insert into visit values (1, 'a', 'yes');
