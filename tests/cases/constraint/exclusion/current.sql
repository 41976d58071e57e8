create table note (id integer primary key);
insert into note values (1);
create table booking (id integer primary key, room int4range, during tstzrange);
