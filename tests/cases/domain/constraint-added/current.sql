create domain email as text;
create table person (id integer primary key, email email);
insert into person values (1, 'a@b.example');
