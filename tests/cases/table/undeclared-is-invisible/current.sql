create table note (id integer primary key);
create table other (id integer primary key, note integer not null references note);
create view others as select o.id from other o join note n on n.id = o.note;
create function other_one() returns integer language sql as 'select 1';
create type mood as enum ('ok');
insert into note values (1);
insert into other values (1, 1);
