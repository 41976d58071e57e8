create type status as enum ('draft', 'open', 'closed');
create table ticket (id integer primary key, status status);
