create extension pg_stat_statements;
create extension citext;
create table note (id integer primary key);
insert into note values (1);
