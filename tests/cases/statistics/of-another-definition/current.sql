create table note (id integer primary key, a text, b text);
create statistics pair (mcv) on a, b from note;
insert into note values (1, 'a', 'b');
