create table note (id integer primary key, a text);
create view pairs with (security_invoker = true) as
    select n.id, m.a from note n join note m on m.id = n.id;
