-- Filings with the copyright office. The number is the office's: none until it has answered.

create table if not exists public.copyright_applications (
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

create index if not exists copyright_applications_user_id_idx
    on public.copyright_applications (user_id);
create index if not exists copyright_applications_work_id_idx
    on public.copyright_applications (work_id);
