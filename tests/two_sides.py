"""Two databases whose facts are read, compared and fixed; and a small shop to change."""

from collections.abc import Callable, Sequence

import psycopg
from conftest import Database

from predeploy.schema.comparison.difference import Difference, difference
from predeploy.schema.ddl import Phase
from predeploy.schema.facts import Fact, parse_facts
from predeploy.schema.kinds import READ_WITH, declared_sql
from predeploy.schema.written import NOTHING_WRITTEN

SCHEMAS = ("public", "app")

Make = Callable[..., Database]


def read(conn: psycopg.Connection, schemas: Sequence[str] = SCHEMAS) -> frozenset[Fact]:
    """Read all facts of the schemas, except those that count only if files name them.

    The settings for reading facts stay in effect for the session.
    """
    for name, value in READ_WITH.items():
        conn.execute("select set_config(%s, %s, false)", (name, value))
    known = parse_facts(conn.execute(declared_sql(schemas)).fetchall())
    return NOTHING_WRITTEN.known(known)


def facts(database: Database) -> frozenset[Fact]:
    """Read all facts of both schemas."""
    with database.connect() as conn:
        return read(conn)


def rows(database: Database) -> dict[str, bool]:
    """Return for each table whether it has rows."""
    names = database.rows(
        """select format('%I.%I', n.nspname, c.relname), n.nspname || '.' || c.relname
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p') and n.nspname in ('public', 'app')"""
    )
    return {
        identity: bool(database.value(f"select exists (select from {name})"))
        for name, identity in names
    }


def differ(desired: frozenset[Fact], live: Database, size: int = 1) -> Difference:
    """Compare with a live database; each table with rows counts as `size` bytes."""
    with live.connect() as conn:
        version = conn.info.server_version
    sizes = {name: size * has_rows for name, has_rows in rows(live).items()}
    return difference(desired, facts(live), sizes, version)


def apply(database: Database, found: Difference) -> None:
    """Run the changes as their phases require."""
    with database.connect() as conn:
        conn.execute("set check_function_bodies = off")
        for phase in Phase:
            statements = [s for change in found.of(phase) for s in change.statements]
            if phase in (Phase.TOGETHER, Phase.AFTER):
                with conn.transaction():
                    for statement in statements:
                        conn.execute(statement)
            else:
                for statement in statements:
                    if "CONCURRENTLY" in statement:
                        clear_invalid(conn)
                    conn.execute(statement)


def clear_invalid(conn: psycopg.Connection) -> None:
    """Drop the invalid indexes of failed builds, as the job does before it builds."""
    for (name,) in conn.execute(
        "select i.indexrelid::regclass::text from pg_index i join pg_class c on c.oid = indexrelid "
        "where not i.indisvalid and c.relkind = 'i'"
    ).fetchall():
        conn.execute(f"drop index {name}")


def described(found: Difference) -> list[str]:
    """Return a short description of each change and each report of a difference."""
    return [
        *(f"{change.phase.name} {change.fact.label}" for change in found.changes),
        *(f"{report.verdict.name} {report.code} {report.object}" for report in found.reports),
    ]


SHOP = """
create type mood as enum ('sad', 'ok', 'glad');
create domain code as text check (value <> '');
create type size as (wide integer, high integer);
create type span as (low integer, high integer);
create table shelf (id integer, span span);
create sequence ticket as integer;
create table maker (id serial primary key, name text not null unique, mood mood default 'ok');
create table item (
    id bigint primary key,
    maker integer references maker (id),
    price numeric(10, 2) default 1.5 check (price > 0),
    code text,
    unique (code, maker)
);
create index on item (maker);
create unique index item_code on item (lower(code));
create table part (id integer not null, at date not null, note text) partition by range (at);
create table part_1 partition of part for values from ('2024-01-01') to ('2025-01-01');
create table part_2 partition of part for values from ('2025-01-01') to ('2026-01-01')
    partition by range (id);
create table part_2_low partition of part_2 for values from (0) to (10);
create index part_note on part (note);
alter table part add foreign key (id) references maker;
create table void (id integer, name text, constraint void_pk primary key (id));
create index void_name on void (name);
create view cheap as select id, price from item where price < 5;
create materialized view totals as select maker, count(*) from item group by maker;
create function double(n integer) returns integer language sql as 'select n * 2';
create function stamp() returns trigger language plpgsql as 'begin return new; end';
create aggregate total (integer) (sfunc = int4pl, stype = integer);
create trigger stamp before insert on item for each row execute function stamp();
create constraint trigger late after insert on item for each row execute function stamp();
create rule keep as on delete to void do instead nothing;
alter table item enable row level security;
create policy own on item using (id > 0);
create statistics pair on code, maker from item;
comment on table item is 'for sale';
comment on function double(integer) is 'twice';
grant select, update (code) on item to pg_monitor;
grant execute on function double(integer) to pg_monitor;
revoke execute on function double(integer) from public;
alter default privileges in schema public grant select on tables to pg_monitor;
alter default privileges revoke execute on functions from public;
"""
ROWS = """
insert into maker (name) values ('one'), ('two');
insert into item select n, 1 + n % 2, n, 'c' || n from generate_series(1, 10) n;
insert into shelf values (1, row(1, 2));
insert into part values (1, '2024-02-02', 'x'), (2, '2025-02-02', 'y');
"""
COUNTS = "select (select count(*) from maker), (select count(*) from item), count(*) from part"


def shop(make_database: Make, change: str = "") -> tuple[frozenset[Fact], Database]:
    """Return the desired facts, and a live database with rows to which `change` was applied."""
    desired, live = make_database(), make_database()
    desired.execute(SHOP)
    live.execute(f"{SHOP}; {ROWS}; refresh materialized view totals")
    live.execute(change)
    return facts(desired), live
