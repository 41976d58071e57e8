create table note (id integer primary key, body text);
insert into note values (1, 'a');
create view body as select body from note;
create view other as select body from note;
create view wider as select id from note;
create view another as select id from note limit 1;
alter view other alter column body set default 'c';
