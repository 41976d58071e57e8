create table room (id integer, open daterange, primary key (id, open without overlaps));
create table visit (
    room integer, during daterange,
    foreign key (room, period during) references room (id, period open)
);
