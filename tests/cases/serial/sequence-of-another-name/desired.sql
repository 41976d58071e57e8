create table ticket (id serial primary key, note text);
