create domain price as integer default 0;
create table item (id integer primary key, price price);
