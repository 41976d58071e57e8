create table note (id integer primary key, body text);
grant select on note to pg_monitor;
