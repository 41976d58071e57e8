create table page (id integer primary key);
insert into page values (1);
