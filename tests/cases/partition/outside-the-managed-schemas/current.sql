create schema archive;
create table event (id integer, at date not null, kind text) partition by range (at);
create table archive.event_2023 partition of event for values from ('2023-01-01') to ('2024-01-01');
create table archive.event_2024 partition of event for values from ('2024-01-01') to ('2025-01-01')
    partition by list (kind);
create table archive.event_2024_a partition of archive.event_2024 for values in ('a');
create table event_2025 partition of event for values from ('2025-01-01') to ('2026-01-01');
create index there_already on archive.event_2023 (kind);
create table archive.bystander (kind text);
insert into event values (1, '2023-02-03', 'a'), (2, '2024-02-03', 'a'), (3, '2025-02-03', 'b');
