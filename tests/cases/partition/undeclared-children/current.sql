create table event (id integer, at date not null, kind text) partition by range (at);
create table event_2024 partition of event for values from ('2024-01-01') to ('2025-01-01');
create table event_2025 partition of event for values from ('2025-01-01') to ('2026-01-01');
create index own_index on event_2025 (id);
insert into event values (1, '2024-02-03', 'a'), (2, '2025-02-03', 'a');
