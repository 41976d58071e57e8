-- Direct and group messages. Their ids are made by the app, so that a client can show a
-- message before the server has stored it.

create table if not exists public.conversations (
    id text primary key,
    title text,
    type text not null default 'direct',
    is_archived boolean default false,
    last_message_at timestamp default now(),
    created_at timestamp not null default now(),
    updated_at timestamp default now()
);

create table if not exists public.conversation_participants (
    id serial primary key,
    conversation_id text not null references public.conversations (id),
    user_id integer not null references public.users (id),
    role text not null default 'member',
    joined_at timestamp not null default now(),
    last_seen_at timestamp default now(),
    notifications_enabled boolean default true,
    is_active boolean default true
);

create table if not exists public.messages (
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

create table if not exists public.message_read_status (
    id serial primary key,
    message_id text not null references public.messages (id),
    user_id integer not null references public.users (id),
    read_at timestamp not null default now()
);
