create table note (id integer primary key, a text, b text not null default 'b');
create view notes as select n.id, m.a, n.b from note n join note m on m.id = n.id;
create function bs() returns setof text language sql as 'select b from public.note';
create index note_b on note (b);
create policy own on note using (b <> '');
