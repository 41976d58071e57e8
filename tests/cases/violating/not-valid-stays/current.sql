create table note (id integer primary key, stars integer);
insert into note values (1, 9);
alter table note add constraint few check (stars < 5) not valid;
