create table parcel (
    id integer not null, weight integer constraint weighs not null, old integer constraint right_one not null,
    later integer not null, said integer not null, added integer not null default 1
);
comment on constraint parcel_id_not_null on parcel is 'unnamed';
comment on constraint weighs on parcel is 'named';
comment on constraint right_one on parcel is 'is as declared';
comment on constraint parcel_later_not_null on parcel is 'made';
comment on constraint parcel_said_not_null on parcel is 'said otherwise';
comment on constraint parcel_added_not_null on parcel is 'added';
create table fresh (id integer primary key, size integer constraint has_size not null);
comment on constraint fresh_id_not_null on fresh is 'of a key';
comment on constraint has_size on fresh is 'named and new';
create table visit (id integer not null, place text) partition by list (place);
create table visit_a partition of visit for values in ('a');
comment on constraint visit_id_not_null on visit is 'of the whole';
comment on constraint visit_id_not_null on visit_a is 'of the part';
