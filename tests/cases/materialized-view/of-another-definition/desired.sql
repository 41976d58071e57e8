create table note (id integer primary key, a text);
create materialized view counts as
    select n.a, count(*) as many from note n join note m on m.id = n.id group by n.a;
