create sequence ticket_no;
create table ticket (id integer primary key, no bigint);
select nextval('ticket_no');
insert into ticket values (1, 1);
