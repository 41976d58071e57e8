create view z_notes as select n.id, m.mood from notes n join notes m on m.id = n.id;
create view notes as select n.id, a.mood from note n join author a on a.id = n.author;
