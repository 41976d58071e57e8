create table note (id integer primary key, body text);
create schema app;
create table app.entry (id integer primary key, note integer references note);
