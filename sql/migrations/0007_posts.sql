-- The feed. A post stands for itself or shows a protected work; its id is made by the app, as
-- those of messages are.

create table if not exists public.posts (
    id text primary key,
    user_id integer not null references public.users (id),
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
    protected_work_id integer references public.works (id),
    tags text[] default '{}'::text[],
    likes integer default 0,
    comments integer default 0,
    shares integer default 0,
    views integer default 0,
    created_at timestamp default now(),
    updated_at timestamp default now()
);

create table if not exists public.post_comments (
    id serial primary key,
    post_id text not null references public.posts (id),
    user_id integer not null references public.users (id),
    parent_id integer,
    content text not null,
    mentioned_users text[] default '{}'::text[],
    likes integer default 0,
    created_at timestamp default now(),
    updated_at timestamp default now()
);

create table if not exists public.post_reactions (
    id serial primary key,
    post_id text not null references public.posts (id),
    user_id integer not null references public.users (id),
    type text not null,
    created_at timestamp default now()
);

-- The feed is read newest first, and filtered by protection.
create index if not exists posts_created_at_idx on public.posts (created_at);
create index if not exists posts_is_protected_idx on public.posts (is_protected);
