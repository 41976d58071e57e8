create table note (id integer primary key, body text, at date);
create or replace view public.few(id, body, label) as
    select id, body, 'x'::text from public.note where id = any (array[1, 2])
    order by id asc fetch first 10 rows only;
create view sums as
    with recent as (select note.id, note.body, note.at from note where note.at > '2020-01-01'::date)
    select recent.body, count(*) as count, sum(recent.id) filter (where recent.id > 1) as over_one
    from recent group by recent.body having count(*) > 1;
