create table member (id integer generated always as identity primary key);
create table silent (id integer);
create table late (id integer);
