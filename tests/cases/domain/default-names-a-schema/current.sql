create type mood as enum ('sad', 'glad');
create domain feeling as mood default 'glad'::mood;
create table diary (id integer primary key, felt feeling);
insert into diary values (1, 'sad');
