create table stay (id integer, room integer) partition by list (room);
create table stay_1 partition of stay for values in (1);
create table held (id integer, room integer, constraint held_one exclude (id with =, room with =)) partition by list (room);
create table held_1 partition of held for values in (1);
insert into stay values (1, 1);
