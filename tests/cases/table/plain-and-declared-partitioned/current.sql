create table event (id integer, at date not null);
insert into event values (1, '2024-02-03');
