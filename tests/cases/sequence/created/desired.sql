create table note (id integer primary key);
create sequence ticket_no as smallint start with 100 increment by 5 maxvalue 1000 cache 3 cycle;
