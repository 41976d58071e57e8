-- The admin console: reports and the moderation of what they point at, bans, an audit log of
-- who did what, and the daily figures.

create table if not exists public.content_categories (
    id serial primary key,
    name text not null unique,
    description text,
    icon text,
    color text,
    is_active boolean default true,
    created_at timestamp default now()
);

create table if not exists public.content_reports (
    id serial primary key,
    reporter_id integer not null references public.users (id),
    reported_user_id integer references public.users (id),
    content_type text not null,
    content_id text not null,
    reason text not null,
    description text,
    status text not null default 'pending',
    reviewed_by integer references public.users (id),
    reviewed_at timestamp,
    resolution text,
    created_at timestamp not null default now()
);

create index if not exists content_reports_reporter_id_idx on public.content_reports (reporter_id);
create index if not exists content_reports_reported_user_id_idx
    on public.content_reports (reported_user_id);
create index if not exists content_reports_reviewed_by_idx on public.content_reports (reviewed_by);

create table if not exists public.admin_audit_logs (
    id serial primary key,
    admin_id integer not null references public.users (id),
    action text not null,
    target_type text not null,
    target_id text not null,
    details text,
    ip_address text,
    user_agent text,
    created_at timestamp not null default now()
);

create index if not exists admin_audit_logs_admin_id_idx on public.admin_audit_logs (admin_id);

create table if not exists public.system_metrics (
    id serial primary key,
    date timestamp not null default now(),
    total_users integer default 0,
    active_users integer default 0,
    new_signups integer default 0,
    total_works integer default 0,
    total_posts integer default 0,
    total_revenue integer default 0,
    storage_used integer default 0,
    blockchain_verifications integer default 0,
    reports_pending integer default 0,
    created_at timestamp not null default now()
);

alter table public.users
    add column if not exists is_banned boolean default false,
    add column if not exists ban_reason text;

alter table public.works
    add column if not exists moderation_status text default 'pending',
    add column if not exists moderation_flags text[] default '{}'::text[],
    add column if not exists moderation_score real default 0,
    add column if not exists reviewed_by integer,
    add column if not exists reviewed_at timestamp;

alter table public.posts
    add column if not exists is_hidden boolean default false,
    add column if not exists moderation_status text,
    add column if not exists moderation_flags text[] default '{}'::text[];

create index if not exists posts_is_hidden_idx on public.posts (is_hidden);
