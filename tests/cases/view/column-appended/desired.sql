create table note (id integer primary key, a text, b text);
create view pairs as select n.id, m.a, m.b from note n join note m on m.id = n.id;
