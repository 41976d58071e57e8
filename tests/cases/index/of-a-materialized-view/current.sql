create table note (id integer primary key, a text);
insert into note values (1, 'a');
create materialized view notes as select n.a, count(m.*) as many from note n join note m using (id)
    group by n.a;
