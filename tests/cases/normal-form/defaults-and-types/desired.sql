create table item (
    id integer primary key, a character varying default 'x'::character varying,
    b decimal default 1, c boolean default true, d timestamptz default current_timestamp,
    e timestamp with time zone default now(), f integer[] default '{}'::integer[],
    g json default '{"a": 1}'::json, h character(3) default 'abc'::bpchar,
    i double precision default 1.50, j interval default '1 day 02:00:00'::interval,
    k date default ('now'::text)::date, l int8 default '-1'::integer,
    m uuid default gen_random_uuid(), n varbit(5) default b'101', o text default 'a
b', p inet default '10.0.0.1'::inet, q timestamp(0) default timestamp '2024-01-02 03:04:05',
    r interval default interval '90 minutes'
);
