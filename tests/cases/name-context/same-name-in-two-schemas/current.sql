create schema app;
create type mood as enum ('public');
create type app.mood as enum ('app');
create table note (id integer primary key, mood mood default 'public');
create table app.note (id integer primary key, mood app.mood default 'app', of integer references note);
insert into note values (1);
insert into app.note values (1, 'app', 1);
