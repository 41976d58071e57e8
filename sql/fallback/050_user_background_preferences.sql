-- The rescue when migrations failed: every page asks for its background. No foreign keys here,
-- users may be missing; migration 0018 adds them.

create table if not exists public.user_background_preferences (
    id serial primary key,
    user_id integer not null,
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
    user_rating integer,
    created_at timestamp default now(),
    updated_at timestamp default now()
);
