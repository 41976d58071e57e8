create table visit (id integer not null, place text not null, primary key (id, place)) partition by list (place);
create table visit_a (id integer not null, place text not null, constraint a_key primary key (id, place));
alter table visit attach partition visit_a for values in ('a');
create table stay (id integer not null, place text not null) partition by list (place);
create table stay_a (id integer not null, place text not null, constraint one unique (place, id));
alter table stay add constraint other unique (id, place), add constraint stay_one unique (place, id);
alter table stay attach partition stay_a for values in ('a');
