create table note (id integer primary key, owner uuid);
insert into note values (1, '00000000-0000-0000-0000-000000000001');
