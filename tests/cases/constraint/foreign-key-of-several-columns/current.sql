create table author (country text, no integer, name text, primary key (country, no));
create table note (id integer primary key, author integer, country text);
insert into author values ('CH', 1, 'Ada');
insert into note values (1, 1, 'CH'), (2, null, 'CH');
