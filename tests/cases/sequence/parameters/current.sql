create sequence ticket_no increment by 2;
select nextval('ticket_no');
create table ticket (id integer primary key);
insert into ticket values (1);
