"""What lacks on a database with rows is added online, and nothing else moves."""

import pytest
from tiers import sampled
from two_sides import COUNTS, ROWS, SHOP, Make, apply, described, differ, facts, shop

from predeploy.schema.ddl import Phase

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
        "alter type span drop attribute high cascade",
        ["TOGETHER composite type public.span"],
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
    (
        "alter default privileges grant execute on functions to public",
        ["AFTER default privilege on ROUTINES not to PUBLIC for postgres"],
    ),
]


@pytest.mark.parametrize("added", sampled(ADDED, 24), ids=lambda added: added[0][:60])
def test_what_lacks_is_added_and_nothing_else_moves(
    make_database: Make, added: tuple[str, list[str]]
) -> None:
    """Exactly the change is planned, it leads back to what is desired, and rows stay."""
    change, expected = added
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
    """New columns of every sort are added to rows, unless that writes a big table anew."""
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

    if_big = differ(facts(desired), live, size=2**30).reports
    apply(live, differ(facts(desired), live))

    rewrites = {r.object.rpartition(".")[2] for r in if_big if r.code == "rewrite"}
    assert rewrites == {"n", "g", "i", "u", "x", "c"}
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
