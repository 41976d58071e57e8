create table note (id integer primary key, owner text);
insert into note values (1, 'ada');
