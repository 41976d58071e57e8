revoke all on schema public from postgres;
revoke all on schema public from public;
grant usage on schema public to postgres;
grant all on schema public to public;
create table page (id integer primary key);
