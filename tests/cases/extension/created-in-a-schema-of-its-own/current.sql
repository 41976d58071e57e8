create table person (id integer primary key, name text);
insert into person values (1, 'Ada');
