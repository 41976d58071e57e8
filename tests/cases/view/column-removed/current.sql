create table note (id integer primary key, a text);
create view pairs as select n.id, m.a from note n join note m on m.id = n.id;
insert into note values (1, 'a');
