create table note (id integer primary key, body text, at date);
create view few as
    select note.id, note.body, 'x' as label from public.note where note.id in (1, 2)
    order by note.id limit 10;
create view sums as
    with recent as (select * from note where at > '2020-01-01')
    select body, count(*), sum(id) filter (where id > 1) over_one from recent
    group by body having count(*) > 1;
insert into note values (1, 'a', '2024-01-01');
