create table note (id integer primary key, owner text);
alter table note enable row level security;
create policy own on note to pg_monitor using (owner = current_user) with check (id > 5);
create policy more on note for insert with check (id > 10);
create policy less on note for delete using (id > 0);
create policy fixed on note for update using (id > 0);
