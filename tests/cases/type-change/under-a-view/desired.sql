create table note (id integer primary key, stars bigint, more text);
create view notes as select n.id, m.stars from note n join note m on m.id = n.id;
