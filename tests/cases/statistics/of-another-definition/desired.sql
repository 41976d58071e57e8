create table note (id integer primary key, a text, b text);
create statistics pair (ndistinct) on a, b from note;
