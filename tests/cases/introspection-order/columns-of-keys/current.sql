create table t (x integer, c integer not null, a integer not null, b integer not null, d integer);
alter table t drop column x;
alter table t add primary key (b, c, a), add unique (d, a), add unique (a, d);
create table u (b integer, a integer, c integer, foreign key (b, c, a) references t (b, c, a));
create index on u (c, a, b);
create index on u (b, a, c);
insert into t values (1, 2, 3, 4);
insert into u values (3, 2, 1);
