create table note (body text);
insert into note values ('a');
