create type status as enum ('open', 'closed');
create table ticket (id integer primary key, status status);
insert into ticket values (1, 'open');
