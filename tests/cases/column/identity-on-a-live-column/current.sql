create table item (id integer primary key, name text);
insert into item values (1, 'a'), (41, 'b');
create table visit (id bigint, place text);
insert into visit values (7, 'x'), (-3, 'y');
create table void (id smallint not null);
