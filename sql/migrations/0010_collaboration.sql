-- Works made together: a project gathers people, and a work names its co-creators.

create table if not exists public.collaboration_projects (
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

create index if not exists collaboration_projects_owner_id_idx
    on public.collaboration_projects (owner_id);

create table if not exists public.project_collaborators (
    id serial primary key,
    project_id integer not null references public.collaboration_projects (id),
    user_id integer not null references public.users (id),
    role text not null,
    permissions text[] default '{}'::text[],
    joined_at timestamp default now(),
    contribution text
);

create index if not exists project_collaborators_project_id_idx
    on public.project_collaborators (project_id);
create index if not exists project_collaborators_user_id_idx
    on public.project_collaborators (user_id);

alter table public.works
    add column if not exists collaborators text[] default '{}'::text[];
