create table event (id integer, at date not null, kind text) partition by list (kind);
create table event_all partition of event default;
