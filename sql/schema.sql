-- The schema that the app of this release expects. All of sql/migrations/ on an empty database
-- gives the same; where a database differs, sync adds what it lacks and drops nothing.

-- Accounts

create table public.users (
    id serial primary key,
    username text not null unique,
    email text not null unique,
    password_hash text not null,
    role text not null default 'user',
    subscription_tier text not null default 'free',
    subscription_status text default 'active',
    subscription_expires_at timestamp,
    monthly_uploads integer default 0,
    monthly_upload_limit integer default 3,
    last_upload_reset timestamp default now(),
    wallet_address text,
    display_name text,
    bio text,
    profile_image_url text,
    website text,
    location text,
    is_verified boolean default false,
    follower_count integer default 0,
    following_count integer default 0,
    total_likes integer default 0,
    theme_preference text default 'liquid-glass',
    settings text default '{}',
    last_login_at timestamp,
    is_banned boolean default false,
    ban_reason text,
    created_at timestamp not null default now()
);

create table public.session (
    sid varchar primary key,
    sess json not null,
    expire timestamp(6) not null
);
create index session_expire_idx on public.session (expire);

create table public.user_preferences (
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
create index user_preferences_user_id_idx on public.user_preferences (user_id);

create table public.subscriptions (
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
create index subscriptions_user_id_idx on public.subscriptions (user_id);

create table public.subscription_usage (
    id serial primary key,
    user_id integer not null references public.users (id),
    month text not null,
    uploads_used integer default 0,
    storage_used integer default 0,
    api_calls_used integer default 0,
    created_at timestamp not null default now(),
    updated_at timestamp default now()
);
create index subscription_usage_user_id_idx on public.subscription_usage (user_id);

-- Works and certificates

create table public.works (
    id serial primary key,
    user_id integer not null references public.users (id),
    title text not null,
    description text,
    filename text,
    file_url text,
    original_name text,
    mime_type text not null,
    file_size integer,
    file_hash text not null,
    certificate_id text unique,
    blockchain_hash text,
    creator_name text,
    collaborators text[] default '{}'::text[],
    is_public boolean default false,
    tags text[] default '{}'::text[],
    like_count integer default 0,
    comment_count integer default 0,
    share_count integer default 0,
    view_count integer default 0,
    moderation_status text default 'pending',
    moderation_flags text[] default '{}'::text[],
    moderation_score real default 0,
    reviewed_by integer,
    reviewed_at timestamp,
    created_at timestamp not null default now(),
    updated_at timestamp default now()
);
create index works_user_id_idx on public.works (user_id);

create table public.certificates (
    id serial primary key,
    work_id integer not null references public.works (id),
    certificate_id text not null unique,
    pdf_path text,
    qr_code text,
    shareable_link text,
    is_downloadable boolean default false,
    has_custom_branding boolean default false,
    verification_proof text,
    verification_level text default 'basic',
    created_at timestamp not null default now()
);
create index certificates_work_id_idx on public.certificates (work_id);

create table public.copyright_applications (
    id serial primary key,
    user_id integer not null references public.users (id),
    work_id integer not null references public.works (id),
    application_number text unique,
    status text not null default 'draft',
    filed_at timestamp,
    decided_at timestamp,
    created_at timestamp not null default now(),
    updated_at timestamp default now()
);
create index copyright_applications_user_id_idx on public.copyright_applications (user_id);
create index copyright_applications_work_id_idx on public.copyright_applications (work_id);

-- Social

create table public.follows (
    id serial primary key,
    follower_id integer not null references public.users (id),
    following_id integer not null references public.users (id),
    created_at timestamp not null default now()
);
create index follows_follower_id_idx on public.follows (follower_id);
create index follows_following_id_idx on public.follows (following_id);

create table public.likes (
    id serial primary key,
    user_id integer not null references public.users (id),
    work_id integer not null references public.works (id),
    created_at timestamp not null default now()
);
create index likes_user_id_idx on public.likes (user_id);
create index likes_work_id_idx on public.likes (work_id);

create table public.comments (
    id serial primary key,
    user_id integer not null references public.users (id),
    work_id integer not null references public.works (id),
    parent_id integer,
    content text not null,
    mentioned_users text[] default '{}'::text[],
    like_count integer default 0,
    created_at timestamp not null default now(),
    updated_at timestamp default now()
);
create index comments_user_id_idx on public.comments (user_id);
create index comments_work_id_idx on public.comments (work_id);

create table public.shares (
    id serial primary key,
    user_id integer not null references public.users (id),
    work_id integer not null references public.works (id),
    share_text text,
    created_at timestamp not null default now()
);
create index shares_user_id_idx on public.shares (user_id);
create index shares_work_id_idx on public.shares (work_id);

create table public.notifications (
    id serial primary key,
    user_id integer not null references public.users (id),
    type text not null,
    from_user_id integer references public.users (id),
    work_id integer references public.works (id),
    comment_id integer references public.comments (id),
    message text not null,
    is_read boolean default false,
    created_at timestamp not null default now()
);
create index notifications_user_id_idx on public.notifications (user_id);
create index notifications_from_user_id_idx on public.notifications (from_user_id);
create index notifications_work_id_idx on public.notifications (work_id);
create index notifications_comment_id_idx on public.notifications (comment_id);

-- Posts

create table public.posts (
    id text primary key,
    user_id integer not null references public.users (id),
    title text,
    description text,
    content text not null,
    image_url text,
    video_url text,
    audio_url text,
    file_url text,
    filename text,
    file_type text,
    mime_type text,
    file_size integer,
    hashtags text[] default '{}'::text[],
    location text,
    mentioned_users text[] default '{}'::text[],
    is_protected boolean default false,
    protected_work_id integer references public.works (id),
    is_hidden boolean default false,
    tags text[] default '{}'::text[],
    likes integer default 0,
    comments integer default 0,
    shares integer default 0,
    views integer default 0,
    moderation_status text,
    moderation_flags text[] default '{}'::text[],
    created_at timestamp default now(),
    updated_at timestamp default now()
);
create index posts_user_id_idx on public.posts (user_id);
create index posts_is_protected_idx on public.posts (is_protected);
create index posts_protected_work_id_idx on public.posts (protected_work_id);
create index posts_is_hidden_idx on public.posts (is_hidden);
create index posts_created_at_idx on public.posts (created_at);

create table public.post_comments (
    id serial primary key,
    post_id text not null references public.posts (id) on delete cascade,
    user_id integer not null references public.users (id),
    parent_id integer,
    content text not null,
    mentioned_users text[] default '{}'::text[],
    likes integer default 0,
    created_at timestamp default now(),
    updated_at timestamp default now()
);
create index post_comments_post_id_idx on public.post_comments (post_id);
create index post_comments_user_id_idx on public.post_comments (user_id);

create table public.post_reactions (
    id serial primary key,
    post_id text not null references public.posts (id) on delete cascade,
    user_id integer not null references public.users (id),
    type text not null,
    created_at timestamp default now()
);
create index post_reactions_post_id_idx on public.post_reactions (post_id);
create index post_reactions_user_id_idx on public.post_reactions (user_id);

-- Community

create table public.community_posts (
    id serial primary key,
    user_id integer not null references public.users (id),
    title text,
    description text,
    content text,
    image_url text,
    video_url text,
    audio_url text,
    file_url text,
    filename text,
    file_type text,
    mime_type text,
    file_size integer,
    hashtags text[] default '{}'::text[],
    location text,
    mentions text[] default '{}'::text[],
    mentioned_users text[] default '{}'::text[],
    is_protected boolean default false,
    protected_work_id integer references public.works (id),
    is_hidden boolean default false,
    tags text[] default '{}'::text[],
    like_count integer default 0,
    comment_count integer default 0,
    share_count integer default 0,
    view_count integer default 0,
    moderation_status text,
    moderation_flags text[] default '{}'::text[],
    created_at timestamp default now(),
    updated_at timestamp default now()
);
create index community_posts_user_id_idx on public.community_posts (user_id);
create index community_posts_protected_work_id_idx on public.community_posts (protected_work_id);

create table public.user_follows (
    id serial primary key,
    follower_id integer not null references public.users (id),
    following_id integer not null references public.users (id),
    created_at timestamp default now()
);
create index user_follows_follower_id_idx on public.user_follows (follower_id);
create index user_follows_following_id_idx on public.user_follows (following_id);

create table public.user_notifications (
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
create index user_notifications_user_id_idx on public.user_notifications (user_id);
create index user_notifications_from_user_id_idx on public.user_notifications (from_user_id);
create index user_notifications_post_id_idx on public.user_notifications (post_id);
create index user_notifications_work_id_idx on public.user_notifications (work_id);
create index user_notifications_comment_id_idx on public.user_notifications (comment_id);

create table public.user_analytics (
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
create index user_analytics_user_id_idx on public.user_analytics (user_id);

-- Messaging

create table public.conversations (
    id text primary key,
    title text,
    type text not null default 'direct',
    is_archived boolean default false,
    last_message_at timestamp default now(),
    created_at timestamp not null default now(),
    updated_at timestamp default now()
);

create table public.conversation_participants (
    id serial primary key,
    conversation_id text not null references public.conversations (id),
    user_id integer not null references public.users (id),
    role text not null default 'member',
    joined_at timestamp not null default now(),
    last_seen_at timestamp default now(),
    notifications_enabled boolean default true,
    is_active boolean default true
);
create index conversation_participants_conversation_id_idx
    on public.conversation_participants (conversation_id);
create index conversation_participants_user_id_idx on public.conversation_participants (user_id);

create table public.messages (
    id text primary key,
    conversation_id text not null references public.conversations (id),
    sender_id integer not null references public.users (id),
    content text not null,
    message_type text not null default 'text',
    attachment_url text,
    attachment_metadata text,
    is_edited boolean default false,
    edited_at timestamp,
    is_deleted boolean default false,
    deleted_at timestamp,
    reply_to_message_id text,
    created_at timestamp not null default now(),
    updated_at timestamp default now()
);
create index messages_conversation_id_idx on public.messages (conversation_id);
create index messages_sender_id_idx on public.messages (sender_id);

create table public.message_read_status (
    id serial primary key,
    message_id text not null references public.messages (id),
    user_id integer not null references public.users (id),
    read_at timestamp not null default now()
);
create index message_read_status_message_id_idx on public.message_read_status (message_id);
create index message_read_status_user_id_idx on public.message_read_status (user_id);

-- Marketplace

create table public.marketplace (
    id serial primary key,
    work_id integer not null references public.works (id),
    seller_id integer not null references public.users (id),
    title text not null,
    description text,
    price integer not null,
    currency text default 'USD',
    is_active boolean default true,
    is_featured boolean default false,
    license_type text not null,
    tags text[] default '{}'::text[],
    views integer default 0,
    favorites integer default 0,
    created_at timestamp default now(),
    updated_at timestamp default now()
);
create index marketplace_work_id_idx on public.marketplace (work_id);
create index marketplace_seller_id_idx on public.marketplace (seller_id);

create table public.purchases (
    id serial primary key,
    buyer_id integer not null references public.users (id),
    seller_id integer not null references public.users (id),
    listing_id integer not null references public.marketplace (id),
    work_id integer not null references public.works (id),
    amount integer not null,
    currency text default 'USD',
    status text not null default 'completed',
    transaction_id text,
    license_granted text not null,
    created_at timestamp default now()
);
create index purchases_buyer_id_idx on public.purchases (buyer_id);
create index purchases_seller_id_idx on public.purchases (seller_id);
create index purchases_listing_id_idx on public.purchases (listing_id);
create index purchases_work_id_idx on public.purchases (work_id);

-- Collaboration

create table public.collaboration_projects (
    id serial primary key,
    title text not null,
    description text,
    owner_id integer not null references public.users (id),
    status text not null default 'active',
    type text not null,
    max_collaborators integer default 10,
    deadline timestamp,
    budget integer,
    tags text[] default '{}'::text[],
    requirements text,
    created_at timestamp default now(),
    updated_at timestamp default now()
);
create index collaboration_projects_owner_id_idx on public.collaboration_projects (owner_id);

create table public.project_collaborators (
    id serial primary key,
    project_id integer not null references public.collaboration_projects (id),
    user_id integer not null references public.users (id),
    role text not null,
    permissions text[] default '{}'::text[],
    joined_at timestamp default now(),
    contribution text
);
create index project_collaborators_project_id_idx on public.project_collaborators (project_id);
create index project_collaborators_user_id_idx on public.project_collaborators (user_id);

-- Blockchain

create table public.blockchain_networks (
    id varchar primary key,
    name varchar not null,
    chain_id integer not null,
    rpc_url varchar not null,
    explorer_url varchar not null,
    native_currency jsonb,
    contract_address varchar not null,
    is_active boolean default true,
    gas_estimate varchar default '0.01',
    created_at timestamp default now()
);

create table public.blockchain_transactions (
    id varchar primary key,
    work_id integer not null,
    metadata_id varchar,
    network varchar not null,
    contract_address varchar not null,
    transaction_hash varchar,
    token_id varchar,
    from_address varchar not null,
    to_address varchar,
    gas_used varchar,
    gas_price varchar,
    status varchar default 'pending',
    block_number integer,
    created_at timestamp default now(),
    confirmed_at timestamp
);

create table public.blockchain_verifications (
    id text primary key,
    work_id integer not null references public.works (id),
    certificate_id varchar not null,
    file_hash varchar not null,
    merkle_root varchar not null,
    merkle_proof jsonb not null,
    timestamp_hash varchar not null,
    blockchain_anchor varchar not null,
    ipfs_hash varchar,
    digital_signature varchar not null,
    network_id varchar not null default 'ethereum',
    block_number integer,
    transaction_hash varchar,
    contract_address varchar,
    token_id varchar,
    verification_level varchar not null default 'basic',
    confidence integer not null default 100,
    verification_timestamp timestamp default now(),
    last_verified timestamp default now(),
    verification_count integer not null default 1,
    created_at timestamp default now(),
    updated_at timestamp default now()
);
create index blockchain_verifications_work_id_idx on public.blockchain_verifications (work_id);

create table public.verification_audit_log (
    id text primary key,
    verification_id text not null references public.blockchain_verifications (id),
    verifier_ip varchar,
    verifier_user_agent text,
    verification_result boolean not null,
    confidence_score integer not null,
    verification_details jsonb not null,
    "timestamp" timestamp default now()
);
create index verification_audit_log_verification_id_idx
    on public.verification_audit_log (verification_id);

create table public.nft_metadata (
    id varchar primary key,
    work_id integer not null,
    metadata_uri varchar not null,
    name varchar not null,
    description text not null,
    image varchar not null,
    external_url varchar,
    animation_url varchar,
    attributes jsonb,
    created_at timestamp default now()
);

create table public.nft_tokens (
    id varchar primary key,
    work_id integer not null,
    transaction_id varchar not null,
    token_id varchar not null,
    contract_address varchar not null,
    network varchar not null,
    owner_address varchar not null,
    creator_address varchar not null,
    minted_at timestamp default now(),
    transfer_count integer default 0,
    last_transfer_at timestamp,
    is_for_sale boolean default false,
    sale_price varchar,
    royalty_percentage integer default 10
);

create table public.nft_mints (
    id serial primary key,
    user_id integer not null references public.users (id),
    work_id integer not null references public.works (id),
    certificate_id text not null references public.certificates (certificate_id),
    blockchain text not null,
    contract_address text,
    token_id text,
    transaction_hash text,
    status text not null default 'pending',
    minting_cost text,
    royalty_percentage integer default 10,
    metadata_uri text,
    marketplace_listings text[] default '{}'::text[],
    created_at timestamp not null default now(),
    updated_at timestamp default now()
);
create index nft_mints_user_id_idx on public.nft_mints (user_id);
create index nft_mints_work_id_idx on public.nft_mints (work_id);
create index nft_mints_certificate_id_idx on public.nft_mints (certificate_id);

create table public.ipfs_uploads (
    id varchar primary key,
    work_id integer not null,
    ipfs_hash varchar not null,
    ipfs_url varchar not null,
    file_size integer not null,
    mime_type varchar not null,
    uploaded_at timestamp default now(),
    status varchar default 'uploading'
);

-- Personalisation

create table public.user_background_preferences (
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
    user_rating integer,
    created_at timestamp default now(),
    updated_at timestamp default now()
);
create index user_background_preferences_user_id_idx
    on public.user_background_preferences (user_id);

create table public.background_interactions (
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
create index background_interactions_user_id_idx on public.background_interactions (user_id);

-- Administration

create table public.content_categories (
    id serial primary key,
    name text not null unique,
    description text,
    icon text,
    color text,
    is_active boolean default true,
    created_at timestamp default now()
);

create table public.content_reports (
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
create index content_reports_reporter_id_idx on public.content_reports (reporter_id);
create index content_reports_reported_user_id_idx on public.content_reports (reported_user_id);
create index content_reports_reviewed_by_idx on public.content_reports (reviewed_by);

create table public.admin_audit_logs (
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
create index admin_audit_logs_admin_id_idx on public.admin_audit_logs (admin_id);

create table public.system_metrics (
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
