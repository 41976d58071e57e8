create table visit (id integer not null, place text not null) partition by list (place);
create table visit_a partition of visit for values in ('a');
alter table visit_a add constraint a_key primary key (id, place);
alter table visit add constraint visit_pkey primary key (id, place);
comment on constraint a_key on visit_a is 'key';
create table fresh (id integer);
