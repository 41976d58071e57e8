-- All that a third party needs to verify a work, kept in one row, and a log of who asked. The
-- row repeats the certificate's public number: a proof is read outside this database.

create table if not exists public.blockchain_verifications (
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

create index if not exists blockchain_verifications_work_id_idx
    on public.blockchain_verifications (work_id);

create table if not exists public.verification_audit_log (
    id text primary key,
    verification_id text not null references public.blockchain_verifications (id),
    verifier_ip varchar,
    verifier_user_agent text,
    verification_result boolean not null,
    confidence_score integer not null,
    verification_details jsonb not null,
    "timestamp" timestamp default now()
);

create index if not exists verification_audit_log_verification_id_idx
    on public.verification_audit_log (verification_id);
