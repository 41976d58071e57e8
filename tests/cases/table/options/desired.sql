create table note (id integer primary key) with (fillfactor = 70);
create table entry (id integer primary key) with (autovacuum_vacuum_scale_factor = 0.01);
