create table note (id integer primary key, body text);
grant select, insert (body) on note to "the ""odd"" role's name";
create policy mine on note to "the ""odd"" role's name" using (id > 0);
alter default privileges in schema public grant select on tables to "the ""odd"" role's name";
