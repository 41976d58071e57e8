create table note (id integer primary key, code text not null);
insert into note values (1, 'a');
