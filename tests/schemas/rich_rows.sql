-- Rows for every table of rich.sql.

set session_replication_role = replica;
insert into public.maker ("Name", mood, born)
    select format('maker %s', n), 'glad', date '1990-01-01' + n from generate_series(1, 20) n;
insert into app."Order ""1""" (maker, price, tags, note, code, during)
    select 1 + n % 20, n, array[format('{"%s', n)], repeat('x', n), format('code-%s', n),
        tsrange(timestamp '2025-01-01' + n * interval '1 day',
                timestamp '2025-01-01' + (n + 1) * interval '1 day')
    from generate_series(1, 50) n;
insert into public.cache select format('key-%s', n), jsonb_build_object('n', n)
    from generate_series(1, 5) n;
insert into public.egg (id, hen, colour) select n, n, 'brown' from generate_series(1, 4) n;
insert into public.hen select n, n from generate_series(1, 4) n;
insert into public.event (id, at, kind)
    select n, date '2024-02-01' + n * 10, 'kind ' || n from generate_series(1, 40) n;
insert into public.thing select n, 'thing' from generate_series(1, 3) n;
insert into public.toy select n, 'toy', n from generate_series(4, 6) n;
insert into app.person values ('a@b.example', row(1, 'y', 'white'), '[1,2)', '{brown}', 'Nick');
insert into app.afterwards select n, n from generate_series(1, 3) n;
set session_replication_role = origin;
refresh materialized view app.totals;
