create table booking (
    room integer, during daterange, primary key (room, during without overlaps)
);
create table room (id integer, open daterange, primary key (id, open without overlaps));
create table visit (
    room integer, during daterange,
    foreign key (room, period during) references room (id, period open)
);
