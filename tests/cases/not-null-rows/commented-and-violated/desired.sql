create table parcel (id integer not null, weight integer not null);
comment on constraint parcel_id_not_null on parcel is 'some';
comment on constraint parcel_weight_not_null on parcel is 'some';
create table fresh (id integer);
