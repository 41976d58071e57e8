create table box (id integer not null, weight integer not null, old integer constraint wrong not null, later integer, said integer not null);
alter table box rename to parcel;
comment on constraint box_said_not_null on parcel is 'was said';
comment on constraint wrong on parcel is 'is as declared';
create table visit (id integer constraint has_id not null, place text) partition by list (place);
create table visit_a partition of visit for values in ('a');
insert into parcel values (1, 1, 1, 1, 1);
