"""Every kind of object: read, compared, and made where it lacks."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Database

from job.schema.ddl import Phase, Verdict
from job.schema.difference import Difference, difference
from job.schema.facts import Fact, parse_facts
from job.schema.kinds import KINDS, Kind, facts_sql

RICH = (Path(__file__).parent.parent / "schemas" / "rich.sql").read_text()
SCHEMAS = ("public", "app")
PINNED = """set search_path = ''; set DateStyle = 'ISO'; set IntervalStyle = 'postgres';
    set TimeZone = 'UTC'; set extra_float_digits = 1"""

Make = Callable[..., Database]


def facts(database: Database) -> frozenset[Fact]:
    """Read all facts of both schemas."""
    with database.connect() as conn:
        conn.execute(PINNED)
        return parse_facts(conn.execute(facts_sql(SCHEMAS, conn.info.server_version)).fetchall())


def rows(database: Database) -> dict[str, bool]:
    """Say of each table whether it holds rows."""
    names = database.rows(
        """select format('%I.%I', n.nspname, c.relname), n.nspname || '.' || c.relname
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p') and n.nspname in ('public', 'app')"""
    )
    return {
        identity: bool(database.value(f"select exists (select from {name})"))
        for name, identity in names
    }


def differ(desired: frozenset[Fact], live: Database) -> Difference:
    """Compare with a live database, which says itself which of its tables hold rows."""
    with live.connect() as conn:
        version = conn.info.server_version
    return difference(desired, facts(live), rows(live), version)


def apply(database: Database, found: Difference) -> None:
    """Run the changes as their phases want it."""
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
                    conn.execute(statement)


def described(found: Difference) -> list[str]:
    """Tell a difference in a few words each."""
    return [
        *(f"{change.phase.name} {change.fact.label}" for change in found.changes),
        *(f"{report.verdict.name} {report.code} {report.object}" for report in found.reports),
    ]


@pytest.fixture
def rich(make_database: Make) -> Database:
    """A database with everything in it."""
    made = make_database()
    made.execute(RICH)
    return made


def test_an_empty_database_gets_everything(rich: Database, database: Database) -> None:
    """The changes against nothing lead to the very same facts, and a second run has none."""
    desired = facts(rich)

    apply(database, differ(desired, database))

    assert facts(database) ^ desired == frozenset()
    assert described(differ(desired, database)) == []
    assert {fact.kind for fact in desired} == {k.value for k in KINDS if k is not Kind.UNMODELLED}


def test_a_schema_does_not_differ_from_itself(rich: Database) -> None:
    """Nothing is planned and nothing said, read twice."""
    assert described(differ(facts(rich), rich)) == []


def test_reading_is_deterministic(rich: Database) -> None:
    """The same rows come in the same order."""
    with rich.connect() as conn:
        sql = facts_sql(SCHEMAS, conn.info.server_version)
        assert conn.execute(sql).fetchall() == conn.execute(sql).fetchall()
        assert sql == facts_sql(("app", "public", "app"), conn.info.server_version)


SHOP = """
create type mood as enum ('sad', 'ok', 'glad');
create domain code as text check (value <> '');
create type size as (wide integer, high integer);
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
"""
ROWS = """
insert into maker (name) values ('one'), ('two');
insert into item select n, 1 + n % 2, n, 'c' || n from generate_series(1, 10) n;
insert into part values (1, '2024-02-02', 'x'), (2, '2025-02-02', 'y');
"""
COUNTS = "select (select count(*) from maker), (select count(*) from item), count(*) from part"

ADDED = [
    ("drop view cheap", ["TOGETHER view public.cheap"]),
    (
        "drop view cheap; create view cheap as select id from item",
        ["TOGETHER view public.cheap"],
    ),
    (
        "drop materialized view totals",
        [
            "TOGETHER materialized view public.totals",
            "ONLINE materialized view public.totals",
        ],
    ),
    ("drop type size", ["TOGETHER composite type public.size"]),
    (
        "drop type size; create type size as (wide integer)",
        ["TOGETHER composite type public.size"],
    ),
    (
        "drop domain code",
        [
            "TOGETHER domain public.code",
            "TOGETHER domain constraint public.code.code_check",
        ],
    ),
    (
        "alter domain code drop constraint code_check",
        ["ONLINE domain constraint public.code.code_check"],
    ),
    (
        """alter domain code drop constraint code_check;
        alter domain code add constraint other check (value <> '') not valid""",
        ["ONLINE domain constraint public.code.code_check"],
    ),
    ("drop sequence ticket", ["TOGETHER sequence public.ticket"]),
    ("alter sequence maker_id_seq owned by none", ["TOGETHER sequence public.maker_id_seq"]),
    (
        """drop view cheap; alter table item drop price""",
        [
            "TOGETHER column public.item.price",
            "TOGETHER view public.cheap",
            "ONLINE constraint public.item.item_price_check",
        ],
    ),
    ("alter table item alter price drop default", ["TOGETHER column public.item.price"]),
    ("alter table item alter price set default 7", ["TOGETHER column public.item.price"]),
    ("alter table maker alter name drop not null", ["ONLINE column public.maker.name"]),
    (
        """alter table maker alter name drop not null;
        alter table maker add constraint maker_name_predeploy_not_null check (name > '')""",
        ["ONLINE column public.maker.name"],
    ),
    (
        "alter table item drop constraint item_maker_fkey",
        [
            "ONLINE constraint public.item.item_maker_fkey",
        ],
    ),
    (
        """alter table item drop constraint item_maker_fkey;
        alter table item add constraint other foreign key (maker) references maker not valid""",
        ["ONLINE constraint public.item.item_maker_fkey"],
    ),
    (
        "alter table item drop constraint item_price_check",
        [
            "ONLINE constraint public.item.item_price_check",
        ],
    ),
    (
        "alter table item drop constraint item_code_maker_key",
        [
            "ONLINE constraint public.item.item_code_maker_key",
        ],
    ),
    (
        """alter table item drop constraint item_code_maker_key;
        create unique index item_code_maker_key on item (code, maker)""",
        ["ONLINE constraint public.item.item_code_maker_key"],
    ),
    (
        """alter table item drop constraint item_maker_fkey; alter table part drop constraint
        part_id_fkey; alter table maker drop constraint maker_pkey""",
        [
            "ONLINE constraint public.maker.maker_pkey",
            "ONLINE constraint public.item.item_maker_fkey",
        ],
    ),
    ("drop index item_maker_idx", ["ONLINE index public.item.item_maker_idx"]),
    ("drop index item_code", ["ONLINE index public.item.item_code"]),
    ("drop index part_note", ["ONLINE index public.part.part_note"]),
    (
        """drop index part_note; create index mine on part_1 (note);
        create index part_2_part_note on part_2 (note)""",
        ["ONLINE index public.part.part_note"],
    ),
    ("drop index void_name", ["TOGETHER index public.void.void_name"]),
    ("alter table void drop constraint void_pk", ["TOGETHER constraint public.void.void_pk"]),
    (
        "drop table void",
        [
            "TOGETHER table public.void",
            "TOGETHER constraint public.void.void_pk",
            "TOGETHER index public.void.void_name",
        ],
    ),
    ("drop table part_1", ["TOGETHER table public.part_1"]),
]


def shop(make_database: Make, change: str = "") -> tuple[frozenset[Fact], Database]:
    """Make the desired facts, and a live database with rows in which something was changed."""
    desired, live = make_database(), make_database()
    desired.execute(SHOP)
    live.execute(f"{SHOP}; {ROWS}; refresh materialized view totals")
    live.execute(change)
    return facts(desired), live


@pytest.mark.parametrize(("change", "expected"), ADDED, ids=[change[:60] for change, _ in ADDED])
def test_what_lacks_is_added_and_nothing_else_moves(
    make_database: Make, change: str, expected: list[str]
) -> None:
    """Exactly the change is planned, it leads back to what is desired, and rows stay."""
    desired, live = shop(make_database, change)
    before = live.rows(COUNTS)

    found = differ(desired, live)
    apply(live, found)

    foreign_key = "constraint public.part.part_id_fkey"
    assert [line for line in described(found) if foreign_key not in line] == expected
    assert [line for line in described(differ(desired, live)) if foreign_key not in line] == []
    assert live.rows(COUNTS) == before
    assert live.value("select count(*) from pg_index where not indisvalid") == 0
    assert live.value("select count(*) from pg_constraint where conname ~ 'predeploy'") == 0


def test_columns_come_with_all_that_they_need(make_database: Make) -> None:
    """New columns of every sort are added to a table with rows, and a rewrite is announced."""
    desired, live = make_database(), make_database()
    live.execute(f"{SHOP}; {ROWS}")
    desired.execute(f"""{SHOP};
        create type shade as enum ('light', 'dark');
        create function answer() returns integer volatile language sql as 'select 42';
        alter table item add shade shade not null default 'dark', add n serial, add g integer
            generated always as (id * 2) stored, add i bigint generated by default as identity,
            add u uuid default gen_random_uuid(), add at timestamptz not null default now(),
            add c code, add x integer default answer(), add s text collate "C" default 'a(b)';
        """)

    found = differ(facts(desired), live)
    apply(live, found)

    assert {c.fact.name for c in found.changes if c.rewrites} == {"n", "g", "i", "u", "x", "c"}
    assert described(differ(facts(desired), live)) == []
    assert live.rows("select distinct shade::text, g = id * 2, i > 0, n > 0, x, s from item") == [
        ("dark", True, True, True, 42, "a(b)")
    ]


@pytest.mark.parametrize(
    ("labels", "statements"),
    [
        ("'sad', 'glad'", ["ADD VALUE IF NOT EXISTS 'ok' AFTER 'sad'"]),
        ("'ok', 'glad'", ["ADD VALUE IF NOT EXISTS 'sad' BEFORE 'ok'"]),
        (
            "'ok', 'odd'",
            [
                "ADD VALUE IF NOT EXISTS 'sad' BEFORE 'ok'",
                "ADD VALUE IF NOT EXISTS 'glad' AFTER 'ok'",
            ],
        ),
        (
            "'odd'",
            [
                "ADD VALUE IF NOT EXISTS 'sad'",
                "ADD VALUE IF NOT EXISTS 'ok' AFTER 'sad'",
                "ADD VALUE IF NOT EXISTS 'glad' AFTER 'ok'",
            ],
        ),
    ],
)
def test_labels_are_added_where_they_stand(
    make_database: Make, labels: str, statements: list[str]
) -> None:
    """Each new label goes next to its neighbour, before anything can use it."""
    desired, live = make_database(), make_database()
    desired.execute("create type mood as enum ('sad', 'ok', 'glad')")
    live.execute(f"create type mood as enum ({labels})")

    found = differ(facts(desired), live)
    apply(live, found)

    (change,) = found.changes
    assert change.phase is Phase.BEFORE
    assert list(change.statements) == [f'ALTER TYPE "public"."mood" {s}' for s in statements]
    ordered = live.value("""select array_agg(enumlabel::text order by enumsortorder)
        from pg_enum where enumlabel <> 'odd'""")
    assert ordered == ["sad", "ok", "glad"]


REPORTED = [
    (
        "alter table item alter code type varchar(9)",
        [
            "DRIFT column-type column public.item.code",
            "DRIFT index-definition index public.item.item_code",
        ],
    ),
    (
        "alter table item alter code set not null",
        [
            "WARNING live-not-null column public.item.code",
        ],
    ),
    (
        "alter table void alter name set default 'x'",
        [
            "WARNING live-default column public.void.name",
        ],
    ),
    (
        "alter table void add old text not null",
        [
            "WARNING extra-column-not-null column public.void.old",
        ],
    ),
    ("alter table void add old text not null default 1, add older text", []),
    ("create table other (id integer not null)", []),
    (
        "alter table maker rename name to title",
        [
            "DRIFT constraint-definition constraint public.maker.maker_name_key",
            "NOT_ADDABLE not-null-without-default column public.maker.name",
            "WARNING extra-column-not-null column public.maker.title",
        ],
    ),
    (
        """alter table item drop constraint item_price_check;
        alter table item add constraint item_price_check check (price >= 0)""",
        ["DRIFT constraint-definition constraint public.item.item_price_check"],
    ),
    (
        "drop index item_code; create unique index item_code on item (code)",
        ["DRIFT index-definition index public.item.item_code"],
    ),
    ("alter sequence ticket increment by 2", ["DRIFT sequence-parameters sequence public.ticket"]),
    (
        "drop type size; create type size as (high integer, wide integer)",
        ["DRIFT composite-attributes composite type public.size"],
    ),
    (
        """alter table maker alter mood drop default; alter table maker alter mood type text;
        drop type mood; create type mood as enum ('glad', 'ok', 'sad')""",
        [
            "DRIFT column-type column public.maker.mood",
            "DRIFT enum-order enum public.mood",
        ],
    ),
    ("alter type mood add value 'odd'", ["WARNING enum-label-extra enum public.mood"]),
    ("alter domain code set not null", ["DRIFT domain-differs domain public.code"]),
    (
        "drop view cheap; create view cheap as select price, id from item",
        ["DRIFT view-columns view public.cheap"],
    ),
    (
        "drop materialized view totals; create materialized view totals as select 1 as one",
        ["DRIFT materialized-view-differs materialized view public.totals"],
    ),
    ("alter table item set unlogged", ["DRIFT table-differs table public.item"]),
]


@pytest.mark.parametrize(
    ("change", "expected"), REPORTED, ids=[change[:60] for change, _ in REPORTED]
)
def test_what_is_not_additive_is_only_said(
    make_database: Make, change: str, expected: list[str]
) -> None:
    """Each report has its code and its object; nothing of it is planned."""
    desired, live = shop(make_database, change)

    found = differ(desired, live)

    assert described(found) == expected
    assert all(report.message and report.remedy for report in found.reports)
    drifts = [r for r in found.reports if r.verdict is Verdict.DRIFT]
    assert all(r.declared and r.live and r.declared != r.live for r in drifts)
