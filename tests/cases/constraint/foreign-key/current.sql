create table author (id integer primary key, name text);
create table note (id integer primary key, author integer, name text, checked_by integer);
insert into author values (1, 'Ada');
insert into note values (1, 1, 'Ada', null);
