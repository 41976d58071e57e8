create table event (
    id integer, at date not null, kind text default 'b', kept text, state text, added text default 'x'
) partition by range (at);
create table event_2023 partition of event for values from ('2023-01-01') to ('2024-01-01');
create table event_2024 partition of event for values from ('2024-01-01') to ('2025-01-01');
create table event_2025 partition of event for values from ('2025-01-01') to ('2026-01-01')
    partition by list (kind);
create table event_2025_a partition of event_2025 default;
create table event_2026 partition of event for values from ('2026-01-01') to ('2027-01-01');
alter table event_2024 alter kind set default 'old';
alter table event_2023 alter kind drop default;
alter table event_2025 alter kind set default 'c';
alter table event_2025_a alter kept set default 'mine', alter added set default 'y';
alter table event_2026 alter kind drop default, alter kept set default 'new';
alter table only event alter kept set default 'parents';
