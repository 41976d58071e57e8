create table note (id integer primary key, title varchar(10), body varchar(10), code varchar(5));
create view titles as select title from note;
create policy own on note using (body <> '');
insert into note values (1, 'one', 'x', 'abc');
create table part (id integer, kind varchar(5)) partition by list (kind);
