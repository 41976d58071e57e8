create table note (id integer primary key, owner text);
alter table note enable row level security;
create policy own on note using (owner = 'a');
create policy more on note for insert to pg_monitor with check (id > 0);
create policy less on note for select using (id > 0);
create policy fixed on note for update using (id > 0) with check (id > 1);
