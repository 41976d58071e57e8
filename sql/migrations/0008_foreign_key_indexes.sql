-- PostgreSQL makes no index for the referencing side of a foreign key: deleting one user scanned
-- every table that refers to users. From 0009 on a table brings these indexes with it.

create index if not exists works_user_id_idx on public.works (user_id);

create index if not exists certificates_work_id_idx on public.certificates (work_id);

create index if not exists follows_follower_id_idx on public.follows (follower_id);
create index if not exists follows_following_id_idx on public.follows (following_id);

create index if not exists likes_user_id_idx on public.likes (user_id);
create index if not exists likes_work_id_idx on public.likes (work_id);

create index if not exists comments_user_id_idx on public.comments (user_id);
create index if not exists comments_work_id_idx on public.comments (work_id);

create index if not exists shares_user_id_idx on public.shares (user_id);
create index if not exists shares_work_id_idx on public.shares (work_id);

create index if not exists notifications_user_id_idx on public.notifications (user_id);
create index if not exists notifications_from_user_id_idx on public.notifications (from_user_id);
create index if not exists notifications_work_id_idx on public.notifications (work_id);
create index if not exists notifications_comment_id_idx on public.notifications (comment_id);

create index if not exists subscriptions_user_id_idx on public.subscriptions (user_id);

create index if not exists subscription_usage_user_id_idx on public.subscription_usage (user_id);

create index if not exists conversation_participants_conversation_id_idx
    on public.conversation_participants (conversation_id);
create index if not exists conversation_participants_user_id_idx
    on public.conversation_participants (user_id);

create index if not exists messages_conversation_id_idx on public.messages (conversation_id);
create index if not exists messages_sender_id_idx on public.messages (sender_id);

create index if not exists message_read_status_message_id_idx
    on public.message_read_status (message_id);
create index if not exists message_read_status_user_id_idx on public.message_read_status (user_id);

create index if not exists nft_mints_user_id_idx on public.nft_mints (user_id);
create index if not exists nft_mints_work_id_idx on public.nft_mints (work_id);

create index if not exists posts_user_id_idx on public.posts (user_id);
create index if not exists posts_protected_work_id_idx on public.posts (protected_work_id);

create index if not exists post_comments_post_id_idx on public.post_comments (post_id);
create index if not exists post_comments_user_id_idx on public.post_comments (user_id);

create index if not exists post_reactions_post_id_idx on public.post_reactions (post_id);
create index if not exists post_reactions_user_id_idx on public.post_reactions (user_id);
