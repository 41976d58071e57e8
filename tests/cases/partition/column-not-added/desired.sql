create table event (id integer, at date not null, size integer not null) partition by range (at);
create table event_2024 partition of event for values from ('2024-01-01') to ('2025-01-01');
alter table event_2024 alter size set default 5;
create index event_2024_size on event_2024 (size);
create table other (id integer);
