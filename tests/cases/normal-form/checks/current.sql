create table item (
    id integer primary key, kind varchar(20), price numeric(10, 2), at date, body text, n integer,
    tags text[], t time
);
alter table item
    add constraint c01 check (kind in ('a', 'b', 'c')),
    add constraint c02 check (price between 0 and 100),
    add constraint c03 check (body like 'a%'),
    add constraint c04 check (body ~ '^[a-z]+$'),
    add constraint c05 check (at > '2020-01-01'),
    add constraint c06 check (n not in (1, 2)),
    add constraint c07 check (not (n between 5 and 6)),
    add constraint c08 check (kind <> ''),
    add constraint c09 check (price > 1.5 or price is null),
    add constraint c10 check (length(body) > 0 and n is not null),
    add constraint c11 check (tags && array['a', 'b']),
    add constraint c12 check (n = any (array[7, 8, 9])),
    add constraint c13 check (body ilike '%x%' or body not like '_y'),
    add constraint c14 check (t >= '08:00'),
    add constraint c15 check (coalesce(kind, 'x') = 'a'),
    add constraint c16 check (n % 2 = 1),
    add constraint c17 check (n::text <> '9'),
    add constraint c18 check (case when n > 5 then price > 0 else true end),
    add constraint c19 check (body similar to 'a%'),
    add constraint c20 check (-n < +9 and n != 4);
insert into item values (1, 'a', 2.5, '2024-01-01', 'abc', 7, array['a'], '09:00');
