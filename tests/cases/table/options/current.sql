create table note (id integer primary key) with (fillfactor = 90, autovacuum_enabled = off);
insert into note values (1);
