create table note (id integer primary key, a text);
create view notes as
    select n.id, n.a, count(m.*) as many from note n join note m on m.id = n.id group by n.id;
