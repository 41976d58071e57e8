create table note (id integer primary key);
create table booking (
    room integer, during daterange, primary key (room, during without overlaps)
);
create table visit (
    room integer, during daterange,
    foreign key (room, period during) references booking (room, period during)
);
