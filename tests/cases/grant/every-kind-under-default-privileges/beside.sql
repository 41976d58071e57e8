alter default privileges grant select, update on tables to pg_monitor with grant option;
alter default privileges in schema public grant usage on sequences to pg_monitor, pg_read_all_data;
alter default privileges grant execute on routines to pg_monitor;
alter default privileges grant usage on types to pg_monitor;
alter default privileges grant usage on schemas to pg_monitor;
