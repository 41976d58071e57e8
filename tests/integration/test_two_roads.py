"""Two roads to one schema: the migrations in order, and schema.sql alone."""

from collections.abc import Callable

import pytest
from conftest import SQL, Database

from predeploy.schema.facts import Comparison, Fact, compare, parse_facts
from predeploy.schema.kinds import facts_sql

SHOP = """
create table maker (id serial primary key, name text not null);
create table item (
    id bigint primary key,
    maker integer references maker (id) on delete cascade,
    price numeric(10, 2) default 1.5 check (price > 0),
    code text unique
);
create index item_maker_idx on item (maker);
"""


def facts(database: Database, schema: str = "public") -> frozenset[Fact]:
    """Read every fact of a schema, with an empty search_path."""
    with database.connect() as conn:
        conn.execute("set search_path = ''")
        return parse_facts(conn.execute(facts_sql([schema])).fetchall())


def test_both_roads_lead_to_the_same_schema(thekeyn: Database, database: Database) -> None:
    """The migrations in order and schema.sql alone make the same tables, in every fact of them."""
    database.execute((SQL / "schema.sql").read_text())

    migrated, declared = facts(thekeyn), facts(database)

    assert compare(declared, migrated) == Comparison((), (), ())
    assert {"table", "column", "constraint", "index", "sequence"} <= {f.kind for f in declared}
    assert len([fact for fact in declared if fact.kind == "table"]) == 42


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ("alter table item alter column price set default 2", ["column public.item.price"]),
        ("alter table item alter column price drop default", ["column public.item.price"]),
        ("alter table item alter column code set not null", ["column public.item.code"]),
        ("alter table item alter column code type varchar", ["column public.item.code"]),
        (
            """alter table item drop constraint item_maker_fkey,
            add constraint item_maker_fkey foreign key (maker) references maker (id)""",
            ["constraint public.item.item_maker_fkey"],
        ),
        (
            """alter table item drop constraint item_price_check,
            add constraint item_price_check check (price >= 0)""",
            ["constraint public.item.item_price_check"],
        ),
        (
            "drop index item_maker_idx; create index item_maker_idx on item (maker) where id > 0",
            ["index public.item.item_maker_idx"],
        ),
        (
            "drop index item_maker_idx; create unique index item_maker_idx on item (maker)",
            ["index public.item.item_maker_idx"],
        ),
        ("alter sequence maker_id_seq increment by 2", ["sequence public.maker_id_seq"]),
        ("alter sequence maker_id_seq owned by none", ["sequence public.maker_id_seq"]),
    ],
)
def test_a_fact_of_another_shape_is_seen(
    make_database: Callable[..., Database], change: str, changed: list[str]
) -> None:
    """A default, a type, a constraint, an index or a sequence of another shape is a change."""
    desired, current = make_database(), make_database()
    desired.execute(SHOP)
    current.execute(f"{SHOP};{change}")

    difference = compare(facts(desired), facts(current))

    assert (difference.missing, difference.extra) == ((), ())
    assert [f"{wanted.kind} {wanted.identity}" for wanted, _ in difference.changed] == changed


def test_what_lacks_and_what_is_beside_is_seen(make_database: Callable[..., Database]) -> None:
    """What only one of two schemas holds is missing or extra, with all that hangs on it."""
    desired, current = make_database(), make_database()
    desired.execute(f"{SHOP}; create view cheap as select id from item")
    current.execute(f"{SHOP}; alter table item add column note text; drop index item_maker_idx")

    difference = compare(facts(desired), facts(current))

    assert [f"{fact.kind} {fact.identity}" for fact in difference.missing] == [
        "column public.cheap.id",
        "index public.item.item_maker_idx",
        "view public.cheap",
    ]
    assert [f"{fact.kind} {fact.identity}" for fact in difference.extra] == [
        "column public.item.note"
    ]
    assert difference.changed == ()
