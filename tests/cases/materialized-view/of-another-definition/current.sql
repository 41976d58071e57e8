create table note (id integer primary key, a text);
insert into note values (1, 'a');
create materialized view counts as select n.a from note n join note m on m.id = n.id;
