-- Paid tiers. Stripe is the source of truth; users carries a copy of the tier and the month's
-- quota, so that an upload is allowed or refused without a join.

create table if not exists public.subscriptions (
    id serial primary key,
    user_id integer not null references public.users (id),
    tier text not null,
    status text not null default 'active',
    stripe_subscription_id text,
    stripe_customer_id text,
    price_id text,
    current_period_start timestamp,
    current_period_end timestamp,
    cancel_at_period_end boolean default false,
    features text default '{}',
    team_size integer default 1,
    api_key text,
    created_at timestamp not null default now(),
    updated_at timestamp default now()
);

create table if not exists public.subscription_usage (
    id serial primary key,
    user_id integer not null references public.users (id),
    month text not null,
    uploads_used integer default 0,
    storage_used integer default 0,
    api_calls_used integer default 0,
    created_at timestamp not null default now(),
    updated_at timestamp default now()
);

alter table public.users
    add column if not exists subscription_tier text not null default 'free',
    add column if not exists subscription_status text default 'active',
    add column if not exists subscription_expires_at timestamp,
    add column if not exists monthly_uploads integer default 0,
    add column if not exists monthly_upload_limit integer default 3,
    add column if not exists last_upload_reset timestamp default now();
