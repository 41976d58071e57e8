create sequence ticket as integer maxvalue 1000;
select nextval('ticket');
create table old (id integer primary key);
create table new (id integer primary key);
create sequence lent owned by old.id;
create unlogged sequence light;
