create function stamp() returns trigger language plpgsql as 'begin return new; end';
create table event (id integer, at date not null, kind text) partition by range (at);
create table event_2024 partition of event for values from ('2024-01-01') to ('2025-01-01');
alter table event_2024 set (fillfactor = 80);
alter table event_2024 add constraint ids check (id > 1);
create index by_kind on event_2024 (kind, id);
create trigger stamp after insert on event_2024 for each row execute function stamp();
create policy seen on event_2024 for select using (id > 1);
