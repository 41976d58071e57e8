create table event (id integer, at date) partition by range (at);
create table event_2024 partition of event for values from ('2024-01-01') to ('2025-01-01');
insert into event values (1, '2024-05-05');
update pg_inherits set inhdetachpending = true where inhrelid = 'event_2024'::regclass;
