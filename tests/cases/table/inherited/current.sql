create table animal (id integer primary key, name text);
create table dog (barks boolean) inherits (animal);
insert into dog values (1, 'Rex', true);
