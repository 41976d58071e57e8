create table note (id integer primary key, title text, body text, code varchar(3));
create view titles as select title from note;
create policy own on note using (body <> '');
create table part (id integer, kind text) partition by list (kind);
