create table note (id integer primary key, body text);
alter table note add constraint has_body not null body not valid;
