create table note (id integer primary key, a text, b text);
create view z_first as select n.id, m.b from note n join note m on m.id = n.id;
create view a_second as select z.id, n.a from z_first z join note n on n.id = z.id;
create view m_third as select a.id, z.b from a_second a join z_first z on z.id = a.id;
