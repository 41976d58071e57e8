create table author (id integer primary key);
create table visit (id integer, place text, author integer references author, seen text, primary key (id, place), unique (seen, place)) partition by list (place);
create table visit_a partition of visit for values in ('a');
create table visit_b partition of visit for values in ('b');
create index a_once on visit_b (seen);
insert into author values (1);
insert into visit values (1, 'a', 1), (1, 'b', 1);
