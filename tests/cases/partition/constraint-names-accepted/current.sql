create table visit (id integer not null, place text not null, primary key (id, place)) partition by list (place);
create table visit_a partition of visit for values in ('a');
create table stay (id integer not null, place text not null) partition by list (place);
create table stay_a (id integer not null, place text not null, constraint one unique (id, place));
alter table stay add constraint other unique (id, place), add constraint stay_one unique (place, id);
alter table stay attach partition stay_a for values in ('a');
insert into visit values (1, 'a');
