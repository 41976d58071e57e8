create table note (id integer, body text);
alter table note replica identity full;
