create table maker (id integer primary key);
create table item (id integer primary key, maker integer constraint by references maker deferrable initially deferred,
    other integer constraint other references maker,
    third integer constraint third references maker on delete restrict);
create table part (id integer constraint part_of references maker deferrable) partition by list (id);
create table part_1 partition of part for values in (1);
