-- Works can be liked, discussed and shared, and people followed. The counters are kept by the
-- app beside the rows they count: a feed shows dozens of them and cannot count each time.

create table if not exists public.follows (
    id serial primary key,
    follower_id integer not null references public.users (id),
    following_id integer not null references public.users (id),
    created_at timestamp not null default now()
);

create table if not exists public.likes (
    id serial primary key,
    user_id integer not null references public.users (id),
    work_id integer not null references public.works (id),
    created_at timestamp not null default now()
);

create table if not exists public.comments (
    id serial primary key,
    user_id integer not null references public.users (id),
    work_id integer not null references public.works (id),
    parent_id integer,
    content text not null,
    mentioned_users text[] default '{}'::text[],
    like_count integer default 0,
    created_at timestamp not null default now(),
    updated_at timestamp default now()
);

create table if not exists public.shares (
    id serial primary key,
    user_id integer not null references public.users (id),
    work_id integer not null references public.works (id),
    share_text text,
    created_at timestamp not null default now()
);

create table if not exists public.notifications (
    id serial primary key,
    user_id integer not null references public.users (id),
    type text not null,
    from_user_id integer references public.users (id),
    work_id integer references public.works (id),
    comment_id integer references public.comments (id),
    message text not null,
    is_read boolean default false,
    created_at timestamp not null default now()
);

alter table public.users
    add column if not exists follower_count integer default 0,
    add column if not exists following_count integer default 0,
    add column if not exists total_likes integer default 0;

alter table public.works
    add column if not exists like_count integer default 0,
    add column if not exists comment_count integer default 0,
    add column if not exists share_count integer default 0,
    add column if not exists view_count integer default 0;
