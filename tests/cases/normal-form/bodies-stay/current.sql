create table item (id integer primary key, kind varchar(10));
insert into item values (1, 'a');
