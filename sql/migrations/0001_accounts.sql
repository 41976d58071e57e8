-- Accounts and their sessions. The session store would make its table on first use:
-- made here, the app's role needs no right to create tables.

create table if not exists public.users (
    id serial primary key,
    username text not null unique,
    email text not null unique,
    password_hash text not null,
    role text not null default 'user',
    display_name text,
    bio text,
    profile_image_url text,
    website text,
    location text,
    is_verified boolean default false,
    settings text default '{}',
    last_login_at timestamp,
    created_at timestamp not null default now()
);

create table if not exists public.session (
    sid varchar primary key,
    sess json not null,
    expire timestamp(6) not null
);

-- The store deletes expired sessions every few minutes.
create index if not exists session_expire_idx on public.session (expire);
