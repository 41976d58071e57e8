create table author (id integer primary key);
create table visit (id integer not null, place text not null, author integer) partition by list (place);
create table visit_a partition of visit for values in ('a');
alter table visit_a add constraint a_author foreign key (author) references author;
alter table visit add constraint visit_author foreign key (author) references author;
comment on constraint a_author on visit_a is 'by';
