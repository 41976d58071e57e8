create table note (id integer primary key);
create table ticket (id bigserial primary key, small smallserial, note integer references note);
