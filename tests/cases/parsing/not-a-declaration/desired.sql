begin;
create table note (id integer primary key, body text);
insert into note values (2);
drop table if exists other;
commit;
