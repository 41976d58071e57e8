-- Foreign keys that a database may lack. nft_mints never declared the one to its certificate,
-- and the tables that sql/fallback/ makes have none, since it cannot rely on the others.

do $$
begin
    if not exists (
        select from pg_catalog.pg_constraint
        where
            conrelid = 'public.nft_mints'::regclass
            and conname = 'nft_mints_certificate_id_fkey'
    ) then
        alter table public.nft_mints
            add constraint nft_mints_certificate_id_fkey
            foreign key (certificate_id) references public.certificates (certificate_id);
    end if;
end
$$;

create index if not exists nft_mints_certificate_id_idx on public.nft_mints (certificate_id);

do $$
begin
    if not exists (
        select from pg_catalog.pg_constraint
        where
            conrelid = 'public.works'::regclass
            and conname = 'works_user_id_fkey'
    ) then
        alter table public.works
            add constraint works_user_id_fkey
            foreign key (user_id) references public.users (id);
    end if;
end
$$;

do $$
begin
    if not exists (
        select from pg_catalog.pg_constraint
        where
            conrelid = 'public.certificates'::regclass
            and conname = 'certificates_work_id_fkey'
    ) then
        alter table public.certificates
            add constraint certificates_work_id_fkey
            foreign key (work_id) references public.works (id);
    end if;
end
$$;

do $$
begin
    if not exists (
        select from pg_catalog.pg_constraint
        where
            conrelid = 'public.posts'::regclass
            and conname = 'posts_user_id_fkey'
    ) then
        alter table public.posts
            add constraint posts_user_id_fkey
            foreign key (user_id) references public.users (id);
    end if;
end
$$;

do $$
begin
    if not exists (
        select from pg_catalog.pg_constraint
        where
            conrelid = 'public.posts'::regclass
            and conname = 'posts_protected_work_id_fkey'
    ) then
        alter table public.posts
            add constraint posts_protected_work_id_fkey
            foreign key (protected_work_id) references public.works (id);
    end if;
end
$$;

do $$
begin
    if not exists (
        select from pg_catalog.pg_constraint
        where
            conrelid = 'public.user_background_preferences'::regclass
            and conname = 'user_background_preferences_user_id_fkey'
    ) then
        alter table public.user_background_preferences
            add constraint user_background_preferences_user_id_fkey
            foreign key (user_id) references public.users (id);
    end if;
end
$$;

do $$
begin
    if not exists (
        select from pg_catalog.pg_constraint
        where
            conrelid = 'public.background_interactions'::regclass
            and conname = 'background_interactions_user_id_fkey'
    ) then
        alter table public.background_interactions
            add constraint background_interactions_user_id_fkey
            foreign key (user_id) references public.users (id);
    end if;
end
$$;
