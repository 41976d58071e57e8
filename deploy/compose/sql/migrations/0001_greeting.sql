create table greeting (words text primary key);
insert into greeting values ('hello from a database that is ready');
