create schema parts;
create table event (id integer, at date not null, kind text, more text) partition by range (at);
create table parts.event_2024 partition of event for values from ('2024-01-01') to ('2025-01-01');
create table parts.event_2025 partition of event for values from ('2025-01-01') to ('2026-01-01');
create index event_kind on event (kind);
