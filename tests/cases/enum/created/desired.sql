create type status as enum ('open', 'closed');
create table ticket (id integer primary key, status status not null default 'open');
