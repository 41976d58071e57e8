create table item (id integer primary key);
insert into item values (1);
