create table note (id integer primary key);
create table entry (
    id bigint generated always as identity (start with 10 increment by 2) primary key,
    note integer not null references note on delete cascade,
    body text not null default '' check (body <> 'x'),
    price numeric(10, 2) default 1.50,
    tags text[] not null default '{}',
    made_at timestamptz not null default now(),
    unique (note, body)
);
create index on entry (made_at desc nulls last);
