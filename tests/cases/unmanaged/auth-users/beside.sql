create schema auth;
create table auth.users (id uuid primary key, email text);
create function auth.uid() returns uuid language sql stable
    as 'select ''00000000-0000-0000-0000-000000000001''::uuid';
insert into auth.users values ('00000000-0000-0000-0000-000000000001', 'a@b.example');
