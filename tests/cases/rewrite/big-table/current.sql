create table big (body text) with (fillfactor = 10);
insert into big select repeat(md5(n::text), 27) from generate_series(1, 8400) n;
create table small (id integer primary key);
insert into small values (1);
