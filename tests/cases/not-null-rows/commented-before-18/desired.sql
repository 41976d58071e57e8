create table fresh (id integer not null);
comment on constraint fresh_id_not_null on fresh is 'some';
