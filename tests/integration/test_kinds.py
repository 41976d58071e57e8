"""Every kind of object: read, compared, and made where it lacks."""

from collections.abc import Callable
from pathlib import Path

import psycopg
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
            "TOGETHER rule public.void.keep",
        ],
    ),
    ("drop table part_1", ["TOGETHER table public.part_1"]),
    (
        "drop function double",
        [
            "TOGETHER routine public.double(integer)",
            "TOGETHER grant public.on double(integer) not to PUBLIC",
            "AFTER grant public.EXECUTE on double(integer) to pg_monitor",
            "AFTER comment public.routine double(integer)",
        ],
    ),
    (
        "create or replace function double(n integer) returns integer language sql as 'select n'",
        ["TOGETHER routine public.double(integer)"],
    ),
    ("drop aggregate total(integer)", ["TOGETHER aggregate public.total(integer)"]),
    ("drop trigger stamp on item", ["TOGETHER trigger public.item.stamp"]),
    (
        """drop trigger stamp on item;
        create trigger stamp after update on item for each row execute function stamp()""",
        ["TOGETHER trigger public.item.stamp"],
    ),
    ("drop trigger late on item", ["TOGETHER trigger public.item.late"]),
    ("drop rule keep on void", ["TOGETHER rule public.void.keep"]),
    (
        "create or replace rule keep as on delete to void do also nothing",
        ["TOGETHER rule public.void.keep"],
    ),
    (
        "drop policy own on item; alter table item disable row level security",
        ["TOGETHER policy public.item.own", "AFTER table public.item"],
    ),
    ("drop statistics pair", ["TOGETHER statistics public.item.pair"]),
    ("comment on table item is null", ["AFTER comment public.item.table"]),
    ("comment on table item is 'other'", ["AFTER comment public.item.table"]),
    ("revoke select on item from pg_monitor", ["AFTER grant public.item.SELECT to pg_monitor"]),
    (
        "revoke update (code) on item from pg_monitor",
        ["AFTER grant public.item.UPDATE on code to pg_monitor"],
    ),
    (
        "alter default privileges in schema public revoke select on tables from pg_monitor",
        ["AFTER default privilege public.SELECT on TABLES to pg_monitor for postgres"],
    ),
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
    (
        "alter table void enable row level security",
        [
            "WARNING row-security-extra table public.void",
        ],
    ),
    (
        """drop function double; create function double(m integer) returns integer
        language sql as 'select m * 2'; revoke execute on function double(integer) from public;
        grant execute on function double(integer) to pg_monitor;
        comment on function double(integer) is 'twice'""",
        ["DRIFT routine-signature routine public.double(integer)"],
    ),
    (
        "grant execute on function double(integer) to public",
        [
            "DRIFT granted-to-public grant public.on double(integer) not to PUBLIC",
        ],
    ),
    ("grant delete on item to pg_monitor; grant select on void to public", []),
    (
        """drop aggregate total(integer);
        create aggregate total(integer) (sfunc = int4mul, stype = integer)""",
        ["DRIFT aggregate-differs aggregate public.total(integer)"],
    ),
    (
        "alter table item disable trigger stamp",
        [
            "DRIFT trigger-enabled trigger public.item.stamp",
        ],
    ),
    (
        """drop trigger late on item;
        create constraint trigger late after update on item for each row
        execute function stamp()""",
        ["DRIFT trigger-differs trigger public.item.late"],
    ),
    ("alter policy own on item using (true)", ["DRIFT policy-differs policy public.item.own"]),
    (
        "drop statistics pair; create statistics pair (mcv) on code, maker from item",
        ["DRIFT statistics-differ statistics public.item.pair"],
    ),
    ("create policy more on item using (true); comment on table void is 'x'", []),
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


def test_what_a_missing_part_holds_up_waits_and_fails_nothing(make_database: Make) -> None:
    """Whatever needs a column that cannot be added is reported, and the rest is added."""
    desired, live = make_database(), make_database()
    base = "create table item (id integer primary key); create table note (of integer)"
    desired.execute(f"""{base};
        alter table item add kind text not null, add other text;
        create index on item (kind); create index on item (other);
        alter table item add unique (kind); alter table item add check (kind <> other);
        alter table note add kind text references item (kind);
        create view kinds as select kind from item; create view again as select * from kinds;
        create function f() returns bigint language sql begin atomic
            select count(kind) from item; end;
        create function g() returns bigint language sql as 'select count(kind) from item';
        comment on column item.kind is 'k'; comment on view again is 'a';
        grant select (kind) on item to pg_monitor""")
    live.execute(f"{base}; insert into item values (1)")

    found = differ(facts(desired), live)
    apply(live, found)

    assert described(found) == [
        "TOGETHER column public.item.other",
        "TOGETHER column public.note.kind",
        "TOGETHER routine public.g()",
        "ONLINE index public.item.item_other_idx",
        "NOT_ADDABLE not-null-without-default column public.item.kind",
        "NOT_ADDABLE waits comment public.again.view",
        "NOT_ADDABLE waits comment public.item.column kind",
        "NOT_ADDABLE waits constraint public.item.item_check",
        "NOT_ADDABLE waits constraint public.item.item_kind_key",
        "NOT_ADDABLE waits constraint public.note.note_kind_fkey",
        "NOT_ADDABLE waits grant public.item.SELECT on kind to pg_monitor",
        "NOT_ADDABLE waits index public.item.item_kind_idx",
        "NOT_ADDABLE waits routine public.f()",
        "NOT_ADDABLE waits view public.again",
        "NOT_ADDABLE waits view public.kinds",
    ]
    assert [r.code for r in differ(facts(desired), live).reports if r.code != "waits"] == [
        "not-null-without-default"
    ]


def test_what_looks_like_a_rename_is_said_and_added(make_database: Make) -> None:
    """A missing column or table beside one of the same shape may have been renamed."""
    desired, live = make_database(), make_database()
    desired.execute("create table a (id integer, title text); create table b (x date, y date)")
    live.execute("create table a (id integer, name text); create table c (x date, y date)")

    found = differ(facts(desired), live)
    apply(live, found)

    assert described(found) == [
        "TOGETHER column public.a.title",
        "TOGETHER table public.b",
        "WARNING looks-like-rename column public.a.name",
        "WARNING looks-like-rename table public.c",
    ]
    assert described(differ(facts(desired), live)) == []


def test_an_invalid_index_is_built_anew(make_database: Make) -> None:
    """What a failed build left behind is dropped first, as an index or under a constraint."""
    desired, live = make_database(), make_database()
    desired.execute("""create table t (a integer, b integer, constraint b_key unique (b));
        create unique index a_key on t (a)""")
    live.execute("create table t (a integer, b integer); insert into t values (1, 1), (1, 1)")
    for column in ("a", "b"):
        with pytest.raises(psycopg.errors.UniqueViolation):
            live.execute(f"create unique index concurrently {column}_key on t ({column})")
    live.execute(
        "update t set a = n, b = n from generate_series(1, 2) n where t.ctid = "
        "format('(0,%s)', n)::tid"
    )

    found = differ(facts(desired), live)
    apply(live, found)

    assert described(found) == [
        "ONLINE index public.t.a_key",
        "ONLINE constraint public.t.b_key",
    ]
    assert described(differ(facts(desired), live)) == []
    assert live.value("select count(*) from pg_index where not indisvalid") == 0


def test_an_interrupted_proof_is_taken_up_again(make_database: Make) -> None:
    """Whichever statement a run dies after, the next one leads to the same end."""
    desired = make_database()
    desired.execute("""create table t (id integer primary key, a integer not null check (a > 0),
        b integer references t, unique (a))""")
    wanted = facts(desired)
    live = make_database()
    live.execute("create table t (id integer, a integer, b integer); insert into t values (1, 1)")
    steps = [s for change in differ(wanted, live).changes for s in change.statements]

    for died_after in range(len(steps)):
        live = make_database()
        live.execute(
            "create table t (id integer, a integer, b integer); insert into t values (1, 1)"
        )
        with live.connect() as conn:
            for statement in steps[:died_after]:
                conn.execute(statement)
        apply(live, differ(wanted, live))
        assert described(differ(wanted, live)) == []
        assert {f for f in facts(live) if "predeploy" not in f.name} == wanted


def test_what_is_not_modelled_is_named(make_database: Make) -> None:
    """Operators, collations, casts, publications and their like are listed, not passed over."""
    desired, live = make_database(), make_database()
    desired.execute("""
        create collation public.plain (locale = 'C');
        create function public.same(integer, text) returns boolean language sql as 'select true';
        create operator public.=== (leftarg = integer, rightarg = text, function = public.same);
        create text search configuration public.mine (copy = simple);
        create type public.pair as (a integer);
        create function public.to_pair(integer) returns public.pair language sql as 'select row(1)';
        create cast (integer as public.pair) with function public.to_pair(integer);
        create publication all_of_it for all tables""")

    found = differ(facts(desired), live)

    assert [r.object for r in found.reports if r.code == "unmodelled"] == [
        "unmodelled cast (integer AS public.pair)",
        "unmodelled public.collation public.plain",
        "unmodelled public.operator public.===(integer,pg_catalog.text)",
        "unmodelled public.text search configuration public.mine",
        "unmodelled publication all_of_it",
    ]


def test_an_extension_is_one_fact_and_its_members_are_none(make_database: Make) -> None:
    """Only the extension itself is missing, it comes before all else, and its version is told."""
    desired, live = make_database(), make_database()
    desired.execute(
        "create schema app; create extension citext schema app; comment on "
        "function app.citext_eq is 'x'; grant execute on function app.citext_eq to "
        "pg_monitor; create table app.t (a app.citext)"
    )

    found = differ(facts(desired), live)
    apply(live, found)

    assert described(found) == [
        "BEFORE extension citext",
        "TOGETHER schema app",
        "TOGETHER table app.t",
    ]
    assert described(differ(facts(desired), live)) == []
    live.execute("update pg_extension set extversion = '0.9' where extname = 'citext'")
    assert described(differ(facts(desired), live)) == ["WARNING extension-differs extension citext"]


def test_names_and_texts_are_quoted(make_database: Make) -> None:
    """Names and texts that try to be SQL stay names and texts."""
    nasty = """a'; drop table "t" -- \\ %s {}"""
    name = '"' + nasty.replace('"', '""') + '"'
    text = "'" + nasty.replace("'", "''") + "'"
    desired, live = make_database(), make_database()
    desired.execute(
        f"""create type {name} as enum ({text}, 'b');
        create table public."t {nasty.replace('"', '""')}" ({name} {name} default {text});
        create index {name[:-1]}i" on "t {nasty.replace('"', '""')}" ({name});
        comment on type {name} is {text}""".encode().decode()
    )

    apply(live, differ(facts(desired), live))

    assert facts(live) == facts(desired)
