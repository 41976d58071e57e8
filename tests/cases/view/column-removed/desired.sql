create table note (id integer primary key, a text);
create view pairs as select n.id from note n join note m on m.id = n.id;
