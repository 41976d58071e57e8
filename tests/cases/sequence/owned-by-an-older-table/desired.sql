create table note (id integer primary key);
create table ticket (number integer);
create sequence ticket_number owned by ticket.number;
