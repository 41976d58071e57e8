create type "Sort Of" as enum ('it''s', 'a "b" \ %s {c}', '');
create table "Table; drop table x --" (
    id integer primary key, "select" "Sort Of", "Ünïcode ""quoted"" %s" text default 'it''s \ %s {}'
);
create index "Index %s" on "Table; drop table x --" ("Ünïcode ""quoted"" %s");
comment on table "Table; drop table x --" is 'it''s \ a "comment" $$ %s';
