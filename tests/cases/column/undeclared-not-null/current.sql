create domain word as text not null;
create domain mood as text not null default 'ok';
create table member (
    id integer generated always as identity primary key, name text not null, word word, mood mood,
    age integer not null default 1, twice integer not null generated always as (1) stored, free text
);
create table undeclared (id integer not null);
insert into member (name, word) values ('Ann', 'a');
insert into undeclared values (1);
