create table event (
    id integer, at date not null, kind text, stars integer check (stars > 0)
) partition by range (at);
create index event_kind on event (kind);
