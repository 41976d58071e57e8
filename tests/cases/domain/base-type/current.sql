create domain price as integer;
create table item (id integer primary key, price price);
insert into item values (1, 2);
