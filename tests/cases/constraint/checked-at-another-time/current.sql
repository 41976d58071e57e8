create table maker (id integer primary key);
create table item (id integer primary key, maker integer constraint by references maker,
    other integer constraint other references maker deferrable initially deferred,
    third integer constraint third references maker on delete cascade);
insert into maker values (1); insert into item values (1, 1, 1, 1);
create table part (id integer constraint part_of references maker) partition by list (id);
create table part_1 partition of part for values in (1);
