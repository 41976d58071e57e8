create table visit (id integer not null, place text not null) partition by list (place);
create table visit_a partition of visit for values in ('a');
create table other (id integer);
create index a_key on other (id);
