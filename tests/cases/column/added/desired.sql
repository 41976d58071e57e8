create table note (
    id integer primary key, body text, at timestamptz not null default now(),
    stars integer not null default 0, price numeric(10, 2), tags text[] default array['a', 'b']
);
