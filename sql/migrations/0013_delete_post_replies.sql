-- Deleting a post failed as soon as someone had answered it. Its comments and reactions mean
-- nothing without it: they go along.

do $$
begin
    if not exists (
        select from pg_catalog.pg_constraint
        where
            conrelid = 'public.post_comments'::regclass
            and conname = 'post_comments_post_id_fkey'
            and confdeltype = 'c'
    ) then
        alter table public.post_comments
            drop constraint if exists post_comments_post_id_fkey,
            add constraint post_comments_post_id_fkey
            foreign key (post_id) references public.posts (id) on delete cascade;
    end if;
end
$$;

do $$
begin
    if not exists (
        select from pg_catalog.pg_constraint
        where
            conrelid = 'public.post_reactions'::regclass
            and conname = 'post_reactions_post_id_fkey'
            and confdeltype = 'c'
    ) then
        alter table public.post_reactions
            drop constraint if exists post_reactions_post_id_fkey,
            add constraint post_reactions_post_id_fkey
            foreign key (post_id) references public.posts (id) on delete cascade;
    end if;
end
$$;
