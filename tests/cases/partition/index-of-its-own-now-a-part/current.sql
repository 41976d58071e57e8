create table visit (id integer not null, place text not null, seen text) partition by list (place);
create table visit_a partition of visit for values in ('a');
create index a_seen on visit_a (seen);
alter table visit_a add constraint a_key primary key (id, place);
create table stay (id integer not null, place text not null, seen text) partition by list (place);
create table stay_a partition of stay for values in ('a');
create index stay_a_seen on stay_a (seen);
alter table stay_a add constraint stay_a_key primary key (id, place);
insert into visit values (1, 'a');
