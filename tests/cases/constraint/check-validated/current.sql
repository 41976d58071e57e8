create table note (id integer primary key, stars integer);
alter table note add constraint few check (stars < 5) not valid;
insert into note values (1, 3);
