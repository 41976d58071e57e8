create table note (id integer primary key, a text);
create materialized view notes as select n.a, count(m.*) as many from note n join note m using (id)
    group by n.a;
create unique index notes_a on notes (a);
