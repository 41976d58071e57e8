"""Every kind of object: read, compared, and made where it lacks."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Database

from job.schema.ddl import Phase
from job.schema.difference import Difference, difference
from job.schema.facts import Fact, parse_facts
from job.schema.kinds import KINDS, facts_sql

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
    assert {fact.kind for fact in desired} == {kind.value for kind in KINDS}


def test_a_schema_does_not_differ_from_itself(rich: Database) -> None:
    """Nothing is planned and nothing said, read twice."""
    assert described(differ(facts(rich), rich)) == []


def test_reading_is_deterministic(rich: Database) -> None:
    """The same rows come in the same order."""
    with rich.connect() as conn:
        sql = facts_sql(SCHEMAS, conn.info.server_version)
        assert conn.execute(sql).fetchall() == conn.execute(sql).fetchall()
        assert sql == facts_sql(("app", "public", "app"), conn.info.server_version)
