create table animal (id integer primary key, name text, age integer, check (age > 0));
create table dog (barks boolean) inherits (animal);
create table cat (lives integer) inherits (animal);
