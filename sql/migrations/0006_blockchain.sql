-- What the app knows of the chains. Rows that mirror a chain name a work without a foreign key,
-- since a token outlives its work; nft_mints holds our own orders to mint, and has keys.

create table if not exists public.blockchain_networks (
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

create table if not exists public.blockchain_transactions (
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

create table if not exists public.nft_metadata (
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

create table if not exists public.nft_tokens (
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

create table if not exists public.ipfs_uploads (
    id varchar primary key,
    work_id integer not null,
    ipfs_hash varchar not null,
    ipfs_url varchar not null,
    file_size integer not null,
    mime_type varchar not null,
    uploaded_at timestamp default now(),
    status varchar default 'uploading'
);

create table if not exists public.nft_mints (
    id serial primary key,
    user_id integer not null references public.users (id),
    work_id integer not null references public.works (id),
    certificate_id text not null,
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

alter table public.users
    add column if not exists wallet_address text;
