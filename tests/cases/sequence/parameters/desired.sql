create sequence ticket_no increment by 10;
create table ticket (id integer primary key);
