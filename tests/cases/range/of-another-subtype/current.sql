create type price_range as range (subtype = integer);
create table booking (id integer primary key, price price_range);
insert into booking values (1, '[1,2)');
