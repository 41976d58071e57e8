create table code (id integer primary key, value text, constraint code_once unique (value));
comment on constraint code_once on code is 'once';
