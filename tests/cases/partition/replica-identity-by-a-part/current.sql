create table visit (id integer, place text not null, no integer not null, primary key (id, place)) partition by list (place);
create table visit_a partition of visit for values in ('a');
create table visit_b partition of visit for values in ('b');
create unique index once on visit (no, place);
insert into visit values (1, 'a', 1);
