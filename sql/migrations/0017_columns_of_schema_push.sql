-- Columns that a schema push had made in production and no migration ever did: the app failed
-- on any database built from this folder.

alter table public.works
    add column if not exists file_url text;

alter table public.community_posts
    add column if not exists description text,
    add column if not exists audio_url text,
    add column if not exists file_url text,
    add column if not exists filename text,
    add column if not exists file_type text,
    add column if not exists mime_type text,
    add column if not exists file_size integer,
    add column if not exists location text,
    add column if not exists mentions text[] default '{}'::text[],
    add column if not exists mentioned_users text[] default '{}'::text[],
    add column if not exists is_protected boolean default false,
    add column if not exists protected_work_id integer,
    add column if not exists is_hidden boolean default false,
    add column if not exists tags text[] default '{}'::text[],
    add column if not exists share_count integer default 0,
    add column if not exists view_count integer default 0,
    add column if not exists moderation_status text,
    add column if not exists moderation_flags text[] default '{}'::text[];

do $$
begin
    if not exists (
        select from pg_catalog.pg_constraint
        where
            conrelid = 'public.community_posts'::regclass
            and conname = 'community_posts_protected_work_id_fkey'
    ) then
        alter table public.community_posts
            add constraint community_posts_protected_work_id_fkey
            foreign key (protected_work_id) references public.works (id);
    end if;
end
$$;

create index if not exists community_posts_protected_work_id_idx
    on public.community_posts (protected_work_id);

alter table public.user_background_preferences
    add column if not exists user_rating integer;
