-- The rescue when migrations failed: the feed is the first page after login. No foreign keys
-- here, users and works may be missing; migration 0018 adds them.

create table if not exists public.posts (
    id text primary key,
    user_id integer not null,
    title text,
    description text,
    content text not null,
    image_url text,
    video_url text,
    audio_url text,
    file_url text,
    filename text,
    file_type text,
    mime_type text,
    file_size integer,
    hashtags text[] default '{}'::text[],
    location text,
    mentioned_users text[] default '{}'::text[],
    is_protected boolean default false,
    protected_work_id integer,
    is_hidden boolean default false,
    tags text[] default '{}'::text[],
    likes integer default 0,
    comments integer default 0,
    shares integer default 0,
    views integer default 0,
    moderation_status text,
    moderation_flags text[] default '{}'::text[],
    created_at timestamp default now(),
    updated_at timestamp default now()
);
