create table t (c integer not null, a integer not null, b integer not null, d integer);
alter table t add unique (a, d);
alter table t add unique (d, a);
alter table t add primary key (b, c, a);
create table u (b integer, a integer, c integer);
create index on u (b, a, c);
create index on u (c, a, b);
alter table u add foreign key (b, c, a) references t (b, c, a);
