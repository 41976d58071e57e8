create table person (id integer primary key, email extensions.citext);
insert into person values (1, 'A@b.example');
