create table full_shelf (id integer, code text);
insert into full_shelf values (1, 'a');
