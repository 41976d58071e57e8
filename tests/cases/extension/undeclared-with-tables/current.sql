create table note (id integer primary key, email citext);
insert into note values (1, 'a@b.example');
