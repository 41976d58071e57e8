create domain price as numeric(10, 2);
create table item (id integer primary key, price price);
