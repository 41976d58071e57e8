create type status as enum ('open', 'closed', 'archived');
create table ticket (id integer primary key, status status);
