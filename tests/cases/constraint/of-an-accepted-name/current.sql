create table code (id integer primary key, value text, constraint code_value_key unique (value));
insert into code values (1, 'a');
comment on constraint code_value_key on code is 'once';
