create table public.person (
    id integer primary key, email public.citext not null, name text,
    check ((email operator(public.<>) ''::public.citext))
);
create index person_name on public.person using gin (name public.gin_trgm_ops);
create function public.near(a text, b text) returns boolean language sql
    as 'select public.similarity(a, b) > 0.5';
