-- The community pages, apart from the feed of 0007: they have posts and follows of their own,
-- notifications that can point at a post, and the figures of a user's dashboard.

create table if not exists public.community_posts (
    id serial primary key,
    user_id integer not null references public.users (id),
    title text,
    content text,
    image_url text,
    video_url text,
    hashtags text[] default '{}'::text[],
    like_count integer default 0,
    comment_count integer default 0,
    created_at timestamp default now(),
    updated_at timestamp default now()
);

create index if not exists community_posts_user_id_idx on public.community_posts (user_id);

create table if not exists public.user_follows (
    id serial primary key,
    follower_id integer not null references public.users (id),
    following_id integer not null references public.users (id),
    created_at timestamp default now()
);

create index if not exists user_follows_follower_id_idx on public.user_follows (follower_id);
create index if not exists user_follows_following_id_idx on public.user_follows (following_id);

create table if not exists public.user_notifications (
    id serial primary key,
    user_id integer not null references public.users (id),
    type text not null,
    from_user_id integer references public.users (id),
    post_id text references public.posts (id),
    work_id integer references public.works (id),
    comment_id integer references public.post_comments (id),
    title text not null,
    message text not null,
    is_read boolean default false,
    action_url text,
    created_at timestamp default now()
);

create index if not exists user_notifications_user_id_idx on public.user_notifications (user_id);
create index if not exists user_notifications_from_user_id_idx
    on public.user_notifications (from_user_id);
create index if not exists user_notifications_post_id_idx on public.user_notifications (post_id);
create index if not exists user_notifications_work_id_idx on public.user_notifications (work_id);
create index if not exists user_notifications_comment_id_idx
    on public.user_notifications (comment_id);

create table if not exists public.user_analytics (
    id serial primary key,
    user_id integer not null references public.users (id),
    date timestamp default now(),
    profile_views integer default 0,
    post_views integer default 0,
    work_views integer default 0,
    new_followers integer default 0,
    total_engagement integer default 0,
    revenue integer default 0,
    created_at timestamp default now()
);

create index if not exists user_analytics_user_id_idx on public.user_analytics (user_id);
