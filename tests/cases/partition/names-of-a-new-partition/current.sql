create table author (id integer primary key);
create table visit (id integer not null, place text not null, author integer constraint visit_author references author, seen text default 'no' check (seen <> '')) partition by list (place);
create table visit_a partition of visit for values in ('a');
alter table visit add constraint visit_pkey primary key (id, place);
create index visit_seen on visit (seen);
insert into author values (1);
insert into visit values (1, 'a');
