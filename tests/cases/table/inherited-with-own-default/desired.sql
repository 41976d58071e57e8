create table animal (id integer primary key, sound text default '...', legs integer default 4);
create table dog (barks boolean) inherits (animal);
create table bird () inherits (animal);
alter table dog alter sound set default 'wuff';
alter table bird alter legs set default 2, alter legs set not null;
