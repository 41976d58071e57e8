create type price_range as range (subtype = numeric);
create table booking (id integer primary key, price price_range);
