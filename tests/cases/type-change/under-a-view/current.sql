create table note (id integer primary key, stars integer);
create view notes as select n.id, m.stars from note n join note m on m.id = n.id;
insert into note values (1, 2);
