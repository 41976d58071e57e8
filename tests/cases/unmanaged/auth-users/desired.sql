create table note (
    id integer primary key, owner uuid references auth.users on delete cascade
);
alter table note enable row level security;
create policy own on note using (owner = auth.uid());
create table profile (
    id uuid primary key references auth.users (id), note integer references note
);
create view owners as select n.id, u.email from note n join auth.users u on u.id = n.owner;
