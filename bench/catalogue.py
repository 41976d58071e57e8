"""A schema of any number of tables, with the objects that an app's tables usually have."""

_STATES = "create type state as enum ('draft', 'open', 'closed');"
_TOUCH = """create function touch() returns trigger language plpgsql as $$
begin
    new.updated_at := now();
    return new;
end $$;"""
_VIEW_EVERY = 10


def schema(tables: int) -> str:
    """Return a schema.sql; each table refers to two earlier ones, every tenth has a view."""
    return "\n".join([_STATES, _TOUCH, *(_table(n) for n in range(tables))])


def _table(n: int) -> str:
    name = f"item_{n:05}"
    owner, origin = (f"item_{m:05}" for m in (n // 2, n // 3))
    view = f"""
create view open_{name} as select id, title, price from {name} where state = 'open';"""
    return f"""
create table {name} (
    id bigint generated always as identity primary key,
    owner_id bigint not null references {owner} (id) on delete cascade,
    origin_id bigint references {origin} (id),
    slug varchar(80) not null unique,
    title text not null,
    body text,
    state state not null default 'draft',
    price numeric(12, 2) not null default 0 check (price >= 0),
    tags text[] not null default '{{}}',
    details jsonb not null default '{{}}',
    created_at timestamptz not null default now(),
    updated_at timestamptz
);
create index {name}_owner on {name} (owner_id);
create index {name}_open on {name} (created_at desc) where state = 'open';
create trigger touch before update on {name} for each row execute function touch();
comment on table {name} is 'What number {n} is about';{"" if n % _VIEW_EVERY else view}"""
