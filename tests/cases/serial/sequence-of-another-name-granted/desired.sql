create table ticket (id serial primary key, note text);
grant usage on sequence ticket_id_seq to pg_monitor;
comment on sequence ticket_id_seq is 'numbers';
