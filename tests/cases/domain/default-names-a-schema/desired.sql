select pg_catalog.set_config('search_path', '', false);
create type public.mood as enum ('sad', 'glad');
create sequence public.ticket;
create domain public.feeling as public.mood default 'glad'::public.mood;
create domain public.number as bigint default nextval('public.ticket'::regclass);
create table public.diary (id integer primary key, felt public.feeling, number public.number);
