create type status as enum ('closed', 'open');
create table ticket (id integer primary key, status status);
