create table item (
    id int4 primary key, a varchar default 'x', b numeric default 1, c bool default 't',
    d timestamp with time zone default current_timestamp, e timestamptz default now(),
    f int[] default '{}', g json default '{"a": 1}', h char(3) default 'abc', i float default 1.50,
    j interval default '1 day 2 hours', k date default ('now'::text)::date, l bigint default -1,
    m uuid default gen_random_uuid(), n bit varying(5) default b'101', o text default e'a\nb',
    p inet default '10.0.0.1', q timestamp(0) without time zone default '2024-01-02 03:04:05'
);
insert into item (id) values (1);
