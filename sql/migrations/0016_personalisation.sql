-- A user's settings, and backgrounds that follow the user's taste: background_interactions is
-- what was observed, user_background_preferences what the app made of it.

create table if not exists public.user_preferences (
    id serial primary key,
    user_id integer not null references public.users (id),
    email_notifications boolean default true,
    push_notifications boolean default true,
    public_profile boolean default true,
    show_email boolean default false,
    allow_messages boolean default true,
    content_filters text[] default '{}'::text[],
    preferred_categories text[] default '{}'::text[],
    language text default 'en',
    timezone text default 'UTC',
    updated_at timestamp default now()
);

create index if not exists user_preferences_user_id_idx on public.user_preferences (user_id);

create table if not exists public.user_background_preferences (
    id serial primary key,
    user_id integer not null references public.users (id),
    gradient_type text not null default 'linear',
    color_scheme text not null default 'cool',
    primary_colors text[] not null default '{}'::text[],
    secondary_colors text[] not null default '{}'::text[],
    direction text not null default 'to bottom right',
    intensity double precision not null default 0.5,
    animation_speed text not null default 'medium',
    time_of_day_preference text,
    mood_tag text,
    usage_count integer not null default 0,
    last_used timestamp,
    created_at timestamp default now(),
    updated_at timestamp default now()
);

create index if not exists user_background_preferences_user_id_idx
    on public.user_background_preferences (user_id);

create table if not exists public.background_interactions (
    id serial primary key,
    user_id integer not null references public.users (id),
    gradient_id text not null,
    interaction_type text not null,
    time_spent integer,
    page_context text,
    device_type text,
    time_of_day text,
    weather_context text,
    session_duration integer,
    created_at timestamp default now()
);

create index if not exists background_interactions_user_id_idx
    on public.background_interactions (user_id);

alter table public.users
    add column if not exists theme_preference text default 'liquid-glass';
