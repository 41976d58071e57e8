create domain email as text;
create table person (id integer primary key, email email, "Other" email);
create view people as select email from person;
insert into person values (1, 'nowhere'), (2, 'a@b');
