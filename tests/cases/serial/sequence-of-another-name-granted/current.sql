create table old_ticket (id serial primary key, note text);
insert into old_ticket (note) values ('one'), ('two');
alter table old_ticket rename to ticket;
