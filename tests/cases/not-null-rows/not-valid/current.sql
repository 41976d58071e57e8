create table note (id integer primary key, body text);
insert into note values (1, 'a');
alter table note add constraint has_body not null body not valid;
