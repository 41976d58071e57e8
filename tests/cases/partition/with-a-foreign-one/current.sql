create table event (id integer, at date not null, kind text) partition by range (at);
create table event_2025 partition of event for values from ('2025-01-01') to ('2026-01-01')
    partition by list (kind);
create table event_2025_a partition of event_2025 for values in ('a');
create foreign table event_2025_b partition of event_2025 for values in ('b')
    server files options (filename '/dev/null');
insert into event values (1, '2025-02-03', 'a');
