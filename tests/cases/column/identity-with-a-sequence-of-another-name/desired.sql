create table account (id integer generated always as identity);
create table note (id integer generated always as identity);
grant usage on all sequences in schema public to pg_monitor;
comment on sequence account_id_seq is 'numbers';
comment on sequence note_id_seq is 'numbers';
