create table note (id integer primary key, body text constraint has_body not null);
