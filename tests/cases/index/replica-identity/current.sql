create table note (id integer not null, code text not null);
create unique index note_by_code on note (code);
insert into note values (1, 'a');
create table item (id integer not null, code text not null unique);
alter table item replica identity full;
