create table room (id integer not null, open daterange not null, primary key (id, open without overlaps));
insert into room values (1, '[2026-01-01,2026-02-01)');
create table visit (room integer, during daterange);
insert into visit values (1, '[2026-01-10,2026-02-10)');
alter table visit add constraint visit_room_during_fkey
    foreign key (room, period during) references room (id, period open) not valid;
