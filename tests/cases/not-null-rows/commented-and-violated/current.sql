create table parcel (id integer, weight text);
insert into parcel values (1), (null);
