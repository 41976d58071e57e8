create table event (id integer, at date not null, kind text default 'a', kept text, state text)
    partition by range (at);
create table event_2023 partition of event for values from ('2023-01-01') to ('2024-01-01');
create table event_2024 partition of event for values from ('2024-01-01') to ('2025-01-01');
alter table event_2024 alter kind set default 'old';
create table event_2025 partition of event for values from ('2025-01-01') to ('2026-01-01')
    partition by list (kind);
create table event_2025_a partition of event_2025 default;
alter table event_2025_a alter kept set default 'mine', alter state set default 'by hand';
insert into event values (1, '2024-02-03', 'a'), (2, '2023-02-03', 'a'), (3, '2025-02-03', 'a');
