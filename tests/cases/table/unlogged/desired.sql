create table note (id integer primary key);
create unlogged table cache (key text primary key, value text);
