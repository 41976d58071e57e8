create table note (id integer primary key, owner text);
create policy own on note as restrictive for update to pg_monitor
    using (owner = current_user) with check (owner <> '');
create policy added on note for insert with check (id > 0);
