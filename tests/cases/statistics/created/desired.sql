create table note (id integer primary key, a text, b text);
create statistics pair on b, a from note;
create statistics one_kind (ndistinct, mcv) on a, b from note;
create statistics folded on lower(a), b from note;
