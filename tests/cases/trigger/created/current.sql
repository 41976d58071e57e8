create table note (id integer primary key, body text);
create view notes as select n.id, m.body from note n join note m on m.id = n.id;
insert into note values (1, 'a');
