create table note (id integer not null, body text not null, more text constraint named not null);
