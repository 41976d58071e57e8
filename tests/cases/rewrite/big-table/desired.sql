create table big (
    body text, id bigint generated always as identity, at timestamptz default clock_timestamp(),
    folded text generated always as (lower(body)) stored, key uuid default gen_random_uuid(),
    added text not null default 'a', since timestamptz not null default now()
);
create table small (
    id integer primary key, no bigint generated always as identity, key uuid default gen_random_uuid()
);
create index big_key on big (key);
