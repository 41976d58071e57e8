create table author (id integer primary key);
create table visit (id integer not null, place text not null, author integer constraint visit_author references author, seen text) partition by list (place);
create table visit_a (id integer not null, place text not null, author integer, seen text);
create table visit_b (id integer not null, place text not null check (place = 'b'), author integer, seen text, constraint visit_author foreign key (author) references author);
alter table visit add constraint visit_pkey primary key (id, place);
create index visit_seen on visit (seen);
insert into visit_b values (1, 'b');
