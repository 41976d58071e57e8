create table users (id integer generated always as identity);
insert into users default values;
alter table users rename to account;
create table note (id integer);
insert into note values (1);
