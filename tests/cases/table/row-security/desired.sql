create table note (id integer primary key, owner text);
alter table note enable row level security;
alter table note force row level security;
create policy own on note for select to public using (owner = current_user);
create table entry (id integer primary key);
alter table entry enable row level security;
create policy all_of_it on entry using (true) with check (id > 0);
