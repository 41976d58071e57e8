create table author (id integer primary key, mood mood);
