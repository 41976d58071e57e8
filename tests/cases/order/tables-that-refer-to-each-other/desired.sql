create table note (id integer primary key);
create table a (id integer primary key, b integer);
create table b (id integer primary key, a integer references a, note integer references note);
alter table a add foreign key (b) references b deferrable;
alter table note add column a integer references a;
