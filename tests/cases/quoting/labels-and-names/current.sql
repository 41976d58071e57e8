create type "Sort Of" as enum ('it''s');
create table "Table; drop table x --" (id integer primary key, "select" "Sort Of");
insert into "Table; drop table x --" values (1, 'it''s');
