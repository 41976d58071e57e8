create schema app;
create extension citext;
create type public.mood as enum ('ok', 'it''s');
create table public.author (id serial primary key, email citext unique, mood public.mood default 'ok',
  kind varchar(10) check (kind in ('a', 'b')), at timestamptz default now());
create table app.note (id bigint generated always as identity primary key, author integer references public.author on delete cascade,
  body text not null default '', price numeric(10,2) check (price between 0 and 10), folded text generated always as (lower(body)) stored);
create index note_body on app.note (lower(body)) where body <> '';
create table public.event (id integer, at date not null, kind text, primary key (id, at)) partition by range (at);
create table public.event_2024 partition of public.event for values from ('2024-01-01') to ('2025-01-01');
create index event_kind on public.event (kind);
create view app.notes as select n.id, a.email from app.note n join public.author a on a.id = n.author where a.kind in ('a', 'b');
create function app.count_notes(who integer default 1) returns bigint language sql stable as $$ select count(*) from app.note where author = who $$;
create function public.stamp() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger stamp before insert or update on app.note for each row execute function public.stamp();
alter table app.note enable row level security;
create policy own on app.note using (author > 0);
comment on table app.note is 'it''s a note';
grant select on app.note to pg_monitor;
alter default privileges in schema app grant select on tables to pg_monitor;
insert into public.author (email, kind) values ('A@b.example', 'a');
insert into app.note (author, body) values (1, 'a');
insert into public.event values (1, '2024-02-03', 'a');
