create table note (id integer primary key, a text);
create view notes as select n.id, m.a from note n join note m on m.id = n.id;
create function a_count() returns bigint language sql as 'select count(*) from public.notes';
create view counted as select n.id, a_count() as many from note n join note m on m.id = n.id;
create function by_row(counted) returns bigint language sql as 'select $1.many';
create table z_note (id integer primary key, many bigint default a_count(), first notes);
