create table event (id integer not null, at date not null, kind text, primary key (id, at)) partition by range (at);
create table event_2024 (id integer not null, at date not null, kind text, primary key (id, at),
    check (at >= '2024-01-01' and at < '2025-01-02'));
insert into event_2024 values (1, '2024-05-05', 'a');
create table event_2025 (id integer not null, at date not null, kind text, check (at >= '2025-01-01' or at < '2026-01-01'));
insert into event_2025 values (1, '2025-05-05', 'a');
create table event_2026 (id integer not null, at date not null, more text);
