create table event (id integer, at date not null, kind text) partition by range (at);
create index event_kind on event (kind);
