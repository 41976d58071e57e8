create table note (id integer primary key, title varchar(10));
alter table note enable row level security;
create policy own on note using (id > 0);
create sequence ticket;
create domain code as text default 'a';
create rule keep as on delete to note do instead nothing;
