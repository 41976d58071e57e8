-- The rescue when migrations failed: every page reports how its background was met. No foreign
-- keys here, users may be missing; migration 0018 adds them.

create table if not exists public.background_interactions (
    id serial primary key,
    user_id integer not null,
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
