grant usage on schema public to pg_monitor;
revoke create on schema public from public;
create table page (id integer primary key);
