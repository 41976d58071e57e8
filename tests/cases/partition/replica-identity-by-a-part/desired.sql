create table visit (id integer, place text not null, no integer not null, primary key (id, place)) partition by list (place);
create table visit_a partition of visit for values in ('a');
create table visit_b partition of visit for values in ('b');
create table visit_c (id integer not null, place text not null, no integer not null, constraint c_key primary key (id, place));
alter table visit attach partition visit_c for values in ('c');
create unique index once on visit (no, place);
alter table visit_a replica identity using index visit_a_pkey;
alter table visit_b replica identity using index visit_b_no_place_idx;
alter table visit_c replica identity using index c_key;
