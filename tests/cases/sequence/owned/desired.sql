create sequence ticket_no;
create table ticket (id integer primary key, no bigint default nextval('ticket_no'));
alter sequence ticket_no owned by ticket.no;
