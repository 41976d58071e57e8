create type public.mood as enum ('public');
create table public.note (id integer primary key, mood mood default 'public');
create schema app;
set search_path = app, public;
create type mood as enum ('app');
create table note (
    id integer primary key, mood mood default 'app', of integer references public.note,
    pal mood
);
