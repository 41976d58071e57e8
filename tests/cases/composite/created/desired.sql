create type point3 as (x float8, y float8, label text collate "C");
create table place (id integer primary key, at point3);
