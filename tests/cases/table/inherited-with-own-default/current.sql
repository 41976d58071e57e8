create table animal (id integer primary key, sound text default 'none');
create table dog (barks boolean) inherits (animal);
insert into dog values (1, 'wuff', true);
