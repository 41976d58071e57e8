create table booking (room integer not null, during daterange not null);
insert into booking values (1, '[2026-01-01,2026-02-01)'), (1, '[2026-01-15,2026-03-01)');
create table room (id integer not null, open daterange not null, primary key (id, open without overlaps));
insert into room values (1, '[2026-01-01,2026-02-01)');
create table visit (room integer, during daterange);
insert into visit values (1, '[2026-01-10,2026-02-10)');
