-- The rescue when migrations failed: works are what the app shows. No foreign keys here, users
-- may be missing; migration 0018 adds them.

create table if not exists public.works (
    id serial primary key,
    user_id integer not null,
    title text not null,
    description text,
    filename text,
    file_url text,
    original_name text,
    mime_type text not null,
    file_size integer,
    file_hash text not null,
    certificate_id text unique,
    blockchain_hash text,
    creator_name text,
    collaborators text[] default '{}'::text[],
    is_public boolean default false,
    tags text[] default '{}'::text[],
    like_count integer default 0,
    comment_count integer default 0,
    share_count integer default 0,
    view_count integer default 0,
    moderation_status text default 'pending',
    moderation_flags text[] default '{}'::text[],
    moderation_score real default 0,
    reviewed_by integer,
    reviewed_at timestamp,
    created_at timestamp not null default now(),
    updated_at timestamp default now()
);
