-- The rescue when migrations failed: a certificate's public link must answer. No foreign keys
-- here, works may be missing; migration 0018 adds them.

create table if not exists public.certificates (
    id serial primary key,
    work_id integer not null,
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
