set search_path = '';
select pg_catalog.set_config('search_path', '', false);
create type public.mood as enum ('ok', 'sad');
create sequence public.ticket_no;
create function public.touch(m public.mood) returns public.mood language sql as 'select m';
create table public.note (
    id bigint default nextval('public.ticket_no'::regclass) primary key,
    mood public.mood default 'ok'::public.mood,
    other public.mood default public.touch('sad'::public.mood),
    check ((public.touch(mood) <> 'sad'::public.mood))
);
create index note_touch on public.note using btree (mood) where (mood = 'ok'::public.mood);
create view public.notes as
    select n.id, m.mood from (public.note n
        join public.note m on (((m.id = n.id) and (m.mood = 'ok'::public.mood))));
set search_path = public;
create table other (id integer primary key, mood mood);
