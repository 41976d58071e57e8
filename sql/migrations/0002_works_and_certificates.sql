-- What the product is about: a work is registered by the hash of its file, and a certificate
-- says when. certificate_id is the public number on the certificate, id stays inside.

create table if not exists public.works (
    id serial primary key,
    user_id integer not null references public.users (id),
    title text not null,
    description text,
    filename text,
    original_name text,
    mime_type text not null,
    file_size integer,
    file_hash text not null,
    certificate_id text unique,
    blockchain_hash text,
    creator_name text,
    is_public boolean default false,
    tags text[] default '{}'::text[],
    created_at timestamp not null default now(),
    updated_at timestamp default now()
);

create table if not exists public.certificates (
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
