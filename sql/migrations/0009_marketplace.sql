-- Licences for works, listed and bought. A purchase repeats seller, work and amount: the listing
-- may change or end, a sale must not.

create table if not exists public.marketplace (
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

create index if not exists marketplace_work_id_idx on public.marketplace (work_id);
create index if not exists marketplace_seller_id_idx on public.marketplace (seller_id);

create table if not exists public.purchases (
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

create index if not exists purchases_buyer_id_idx on public.purchases (buyer_id);
create index if not exists purchases_seller_id_idx on public.purchases (seller_id);
create index if not exists purchases_listing_id_idx on public.purchases (listing_id);
create index if not exists purchases_work_id_idx on public.purchases (work_id);
