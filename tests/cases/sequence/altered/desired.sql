create sequence ticket as bigint increment by 5 minvalue -10 cache 20 cycle start with 7;
create table old (id integer primary key);
create table new (id integer primary key);
create sequence lent owned by new.id;
create sequence light;
