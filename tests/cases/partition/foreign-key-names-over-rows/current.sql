create table author (id integer primary key);
create table visit (id integer not null, place text not null, author integer) partition by list (place);
create table visit_a partition of visit for values in ('a');
insert into author values (1);
insert into visit values (1, 'a', 1);
