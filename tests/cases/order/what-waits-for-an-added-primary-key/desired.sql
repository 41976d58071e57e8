create table note (id integer primary key, a text);
create materialized view notes as
    select n.id, n.a, count(m.*) as many from note n join note m on m.id = n.id group by n.id;
create unique index notes_id on notes (id);
create view more as select n.id, m.many from note n join notes m on m.id = n.id;
create function many() returns setof more language sql as 'select * from public.more';
grant select on more to pg_monitor;
comment on view more is 'counted';
