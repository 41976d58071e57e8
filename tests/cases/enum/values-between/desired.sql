create type status as enum ('new', 'seen', 'open', 'waiting', 'blocked', 'closed');
create table ticket (id integer primary key, status status);
