create table note (id integer primary key, a text);
create view pairs with (security_barrier) as
    select n.id, m.a from note n join note m on m.id = n.id where n.a <> 'x';
create recursive view numbers (n) as values (1) union all select n + 1 from numbers where n < 5;
