create table public.author (id serial primary key, at timestamptz default now());
insert into public.author default values;
