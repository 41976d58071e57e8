create table cache (key text primary key);
insert into cache values ('a');
