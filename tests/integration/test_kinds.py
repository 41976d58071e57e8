"""Every kind of object: read, compared, and made where it lacks."""

import os
import random
from collections.abc import Iterable
from contextlib import suppress

import psycopg
import pytest
from conftest import Database
from damage import RICH, drop_sql, droppable
from two_sides import Make, apply, described, differ, facts, read

from predeploy.schema.comparison.difference import difference
from predeploy.schema.ddl import Verdict
from predeploy.schema.facts import Fact
from predeploy.schema.kinds import KINDS, Kind, facts_sql

SCHEMAS = ("public", "app")


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
    apart = (
        Kind.UNMODELLED, Kind.PARTITION_INDEX, Kind.PARTITION_CONSTRAINT, Kind.NOT_NULL,
    )  # fmt: skip
    assert {fact.kind for fact in desired} == {k.value for k in KINDS if k not in apart}, (
        "put one of each kind into tests/schemas/rich.sql, and its DROP into DROPS of damage.py"
    )


def test_a_schema_does_not_differ_from_itself(rich: Database) -> None:
    """Nothing is planned and nothing said, read twice."""
    assert described(differ(facts(rich), rich)) == []


def test_reading_is_deterministic(rich: Database) -> None:
    """The same schemas, in whatever order, are asked about in the same words."""
    with rich.connect() as conn:
        assert read(conn) == facts(rich)
        sql = facts_sql(SCHEMAS)
        assert sql == facts_sql(("app", "public", "app"))


def not_brought_back(
    conn: psycopg.Connection, desired: frozenset[Fact], dropped: Iterable[Fact]
) -> list[str]:
    """Drop some facts' objects, bring them back, and say what differs; all of it rolled back."""
    with conn.transaction(force_rollback=True):
        for fact in dropped:
            # Gone already, with another; or part of a partition key.
            with suppress(psycopg.Error), conn.transaction():
                conn.execute(drop_sql(fact))
        live = read(conn)
        empty = {f.identity: 0 for f in live if f.relation and not f.name}
        found = difference(desired, live, empty, conn.info.server_version)
        for change in found.changes:
            for statement in change.statements:
                conn.execute(statement)
        # What is made anew has the grants of its schema's default privileges, too.
        differing = {f for f in read(conn) ^ desired if not f.get("owned")}
        left = {f for f in differing if f in desired or f.kind != "grant"}
    told = {r.message for r in found.reports if r.verdict is not Verdict.NOTE}
    return sorted({f.label for f in left} | told)


@pytest.mark.dear
@pytest.mark.parametrize("share", [0.2, pytest.param(1, marks=pytest.mark.slow)])
def test_whatever_is_dropped_comes_back(rich: Database, share: float) -> None:
    """Each object of the rich schema in turn, with all that hangs on it; in short a fifth."""
    desired = facts(rich)
    every = droppable(desired)
    chance = random.Random(int(os.environ["CHAOS_SEED"]))  # noqa: S311 - nobody guesses it
    pool = chance.sample(every, round(share * len(every)))
    with rich.connect() as conn:
        conn.execute("set check_function_bodies = off; set client_min_messages = warning")

        failed = {f.label: not_brought_back(conn, desired, [f]) for f in pool}

    assert {label: left for label, left in failed.items() if left} == {}
    assert len(every) > 100
    assert len(pool) > 20


@pytest.mark.dear
def test_any_handful_that_is_dropped_comes_back(rich: Database) -> None:
    """Some objects at once, as chance has it: what is made needs no order but that of the file."""
    desired = facts(rich)
    pool = droppable(desired)
    with rich.connect() as conn:
        conn.execute("set check_function_bodies = off; set client_min_messages = warning")
        for seed in range(15):
            chance = random.Random(seed)  # noqa: S311 - nobody guesses it
            dropped = chance.sample(pool, chance.randint(2, 14))

            assert (seed, not_brought_back(conn, desired, dropped)) == (seed, [])
