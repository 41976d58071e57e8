create table event (
    id integer not null, at date not null, kind text not null default 'a',
    constraint kinds check (kind <> 'x')
) partition by range (at);
create table event_2024 partition of event for values from ('2024-01-01') to ('2025-01-01');
