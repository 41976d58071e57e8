"""Whatever was changed by hand: it comes back or is named, nothing is lost, a rerun says the same.

`make drift N=500` tries more, with FROM=1000 others. An example's seed is in its test's name.
"""

import json
import os
import random
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conftest import Database
from damage import CHANGES, RICH, ROWS, drop_sql, droppable
from production import Rows, contents, environ, orphans, prepare, run_here
from two_sides import differ, facts

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding, Outcome
from predeploy.contract.report import Report, headline
from predeploy.schema.comparison.difference import Difference
from predeploy.schema.facts import Fact

Make = Callable[..., Database]

FIRST = int(os.environ.get("DRIFT_FROM", "0"))
SEEDS = range(FIRST, FIRST + int(os.environ.get("DRIFTS", "10")))
NAME_TAKEN = frozenset(("42P07", "42710"))
# What a live object may have and the file does not say.
MAY_BE_MORE = frozenset(
    ("default", "not null", "row security", "forced row security", "replica identity", "grantable")
)
HALF_BUILT = frozenset(("invalid", "attached"))
LISTS = frozenset((("table", "options"), ("enum", "labels")))


@pytest.fixture(scope="module")
def sql(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the rich schema."""
    root = tmp_path_factory.mktemp("sql")
    (root / "schema.sql").write_text(RICH)
    return root


@pytest.fixture(scope="module")
def rich(superuser_url: str, sql: Path) -> Iterator[Database]:
    """A settled database with the rich schema and rows, to be cloned."""
    name = "drift_template"
    url = superuser_url.rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(superuser_url, autocommit=True) as conn:
        conn.execute(f"create database {name} strategy file_copy")
        made = Database(name, url)
        prepare(environ(made, sql))
        made.execute(ROWS)
        prepare(environ(made, sql))
        yield made
        conn.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="module")
def desired(rich: Database) -> frozenset[Fact]:
    # Not the file's: they come with the schema public of every database.
    given = {f"grant public.{right} on schema to PUBLIC" for right in ("USAGE", "CREATE")}
    given.add("comment public.schema")
    return frozenset(f for f in facts(rich) if f.label not in given)


@pytest.mark.parametrize("seed", SEEDS)
def test_drift(
    make_database: Make, rich: Database, sql: Path, desired: frozenset[Fact], seed: int
) -> None:
    """A run brings it back (0) or names just what it does not (82, 84); a second run does not more.

    No row, and no object that is there, is taken away, and none gets a shape that nobody declared.
    """
    database = make_database(rich.name)
    done = damage(database, desired, random.Random(seed))  # noqa: S311 - nobody guesses it
    shapes, rows, numbers = facts(database), contents(database), sequences(database)
    broken = set(orphans(database))
    story = f"seed {seed}: {'; '.join(done)}"

    first = run_here(environ(database, sql))

    assert has_ended_well(first), f"{story}\n{headline(first)}"
    kept = facts(database) | attached(database, shapes)
    assert not_kept(shapes, kept, desired) == [], story
    assert rows_lost(rows, contents(database)) == [], story
    assert went_back(numbers, sequences(database)) == [], story
    left, named = unlike(differ(desired, database)), errors(first, desired)
    if first.failure or any(finding.code == "violated" for finding in first.findings):
        assert named <= left, story
    else:
        assert named == left, story
        assert set(orphans(database)) <= (broken if left else set()), story
    second = run_here(environ(database, sql))
    assert second.exit_code is first.exit_code, story
    # A name that is taken by an extra stops a run; what is left is then cut into other steps, and
    # more of it may come before that one.
    if first.failure is None:
        assert second.applied == 0, story
        assert errors(second, desired) == named, story
    if first.exit_code is ExitCode.OK:
        assert second.outcome is Outcome.SETTLED, story


def has_ended_well(report: Report) -> bool:
    """Whether it brought all back, or said what it did not; or a name is taken by an extra."""
    if report.exit_code is ExitCode.FAILED and report.failure is not None:
        return report.failure.sqlstate in NAME_TAKEN
    return report.exit_code in {ExitCode.OK, ExitCode.NOT_VERIFIED, ExitCode.REFUSED}


def damage(database: Database, desired: frozenset[Fact], chance: random.Random) -> list[str]:
    """Drop and change some things, as far as PostgreSQL lets it; return what was done."""
    pool = droppable(desired)
    drops = [drop_sql(fact) for fact in chance.sample(pool, chance.randint(0, 6))]
    statements = [*drops, *chance.sample(CHANGES, chance.randint(0 if drops else 1, 8))]
    chance.shuffle(statements)
    if chance.random() < 0.25:
        # Then the run has to read the file beside what is there now.
        statements.append("delete from predeploy.declared")
    done = []
    with database.connect() as conn:
        conn.execute("set client_min_messages = error; set allow_system_table_mods = on")
        for statement in statements:
            try:
                conn.execute(statement.encode())
            except psycopg.Error:
                continue
            done.append(" ".join(statement.split()).rstrip(";"))
    return done


def sequences(database: Database) -> dict[str, int]:
    """Where every sequence stands."""
    return dict(
        database.rows(
            "select format('%I.%I', schemaname, sequencename), coalesce(last_value, 0) "
            "from pg_sequences"
        )
    )


def went_back(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """Return the sequences that would give a number again; a new column may have taken some."""
    return [name for name, value in before.items() if after.get(name, -1) < value]


def attached(database: Database, shapes: Iterable[Fact]) -> set[Fact]:
    """Return what partitions have and is now part of their parent's, as it was."""
    names = database.rows(
        """select relname from pg_class where relkind in ('i', 'I') and relispartition
        union select k.conname from pg_constraint k join pg_class c on c.oid = k.conrelid
        where c.relispartition and (k.coninhcount > 0 or k.conparentid > 0)"""
    )
    kinds = {"index", "constraint"}
    return {fact for fact in shapes if fact.kind in kinds and (fact.name,) in names}


def not_kept(
    before: Iterable[Fact], after: Iterable[Fact], desired: Iterable[Fact]
) -> list[tuple[Fact, Fact | None]]:
    """Return what is gone, or has a shape that is neither the old one nor the declared one."""
    there, wanted = {f.key: f for f in after}, {f.key: f for f in desired}
    return [
        (old, now)
        for old in before
        # A partition's column changes with its parent's, also where nobody declares it.
        if not (old.kind == "column" and old.get("inherited"))
        if (now := there.get(old.key)) is None
        or not all(_is_kept(n, old, now, wanted.get(old.key, old)) for n in now.differing(old))
    ]


def _is_kept(name: str, before: Fact, after: Fact, desired: Fact) -> bool:
    """Whether an attribute has the declared shape, or its list has only got what is declared."""
    if name in HALF_BUILT:
        more = set(before.listed(name)) < set(after.listed(name)) if name == "attached" else False
        return more or not after.get(name)
    if (before.kind, name) not in LISTS:
        return after.get(name) == desired.get(name)
    old, new, wanted = (set(fact.listed(name)) for fact in (before, after, desired))
    options = [{one.partition("=")[0] for one in some} for some in (old, new)]
    return options[0] <= options[1] and wanted <= new <= old | wanted


def rows_lost(before: Rows, after: Rows) -> list[str]:
    """Return the tables whose rows are not what they were, in the columns that they had."""
    return [
        table
        for table, rows in before.items()
        if sorted(map(str, rows))
        != sorted(str(_like(row, rows[0]) if rows else row) for row in after.get(table, []))
    ]


def _like(row: Any, old: Any) -> Any:  # noqa: ANN401 - JSON
    """Return of a row, and of the composite values in it, only what there was before."""
    if isinstance(row, dict) and isinstance(old, dict):
        return {name: _like(value, old[name]) for name, value in row.items() if name in old}
    return row


def unlike(found: Difference) -> set[str]:
    """Return the labels of what is declared and not there, or not so."""
    pairs = [pair for pair in found.changed if not satisfies(*pair)]
    facts = (*found.missing, *(desired for desired, _ in pairs))
    labels = {fact.label for fact in facts}
    tables = {fact.label for fact in found.missing if fact.kind == "table"}
    retyped = [a for a, b in pairs if a.kind == "column" and "type" in a.differing(b)]
    casts = {a.label for a, b in pairs if any(_is_cast_with(column, a, b) for column in retyped)}
    return {
        fact.label
        for fact in facts
        if not _is_told_with_its_relation(fact, labels, tables)
        and not _is_told_with_its_sequence(fact, labels)
    } - casts


def _is_cast_with(column: Fact, desired: Fact, live: Fact) -> bool:
    """Whether only casts differ in what is printed, as a column in it has another type."""
    is_of_it = (column.schema, column.relation) == (desired.schema, desired.relation)
    texts = {re.sub(r"::text|[()]", "", fact.definition) for fact in (desired, live)}
    return is_of_it and len(texts) == 1


def _is_told_with_its_relation(fact: Fact, labels: set[str], tables: set[str]) -> bool:
    """Whether it is a column of a view, of a table that is missing, or from a table's parent."""
    relation = f"{fact.schema}.{fact.relation}"
    views = {f"{kind} {relation}" for kind in ("view", "materialized view")}
    return fact.kind == "column" and bool(
        fact.get("inherited") or labels & views or f"table {relation}" in tables
    )


def _is_told_with_its_sequence(fact: Fact, labels: set[str]) -> bool:
    """Whether its default lacks a sequence that is missing, which would begin before the rows."""
    default = fact.get("default")
    return fact.kind == "column" and any(
        label.startswith("sequence ") and label.removeprefix("sequence ") in default
        for label in labels
    )


def satisfies(desired: Fact, live: Fact) -> bool:
    """Whether what is there is at least what is declared."""
    for name in desired.differing(live):
        if (desired.kind, name) in LISTS:
            there = iter(live.listed(name))
            if not all(one in there for one in desired.listed(name)):
                return False
        elif (desired.kind, name) == ("column", "default"):
            # A serial's sequence may have been renamed since.
            if not all(fact.get(name).startswith("nextval(") for fact in (desired, live)):
                return False
        elif name == "not valid":
            if live.get(name):
                return False
        elif desired.get(name) or name not in MAY_BE_MORE:
            return False
    return True


def errors(report: Report, desired: frozenset[Fact]) -> set[str]:
    """Return the labels that the report's errors name: exactly one each."""
    found = [f for f in report.findings if f.level == "error" and f.code != "violated"]
    labels = {fact.label for fact in desired}
    named = [_named(finding, labels) for finding in found if not _is_about_more(finding)]
    assert len(set(named)) == len(named), found
    return set(named)


def _is_about_more(finding: Finding) -> bool:
    """Whether it is about what somebody may do although no file grants it."""
    return " where schema.sql leaves it " in finding.message


def _named(finding: Finding, labels: set[str]) -> str:
    named = {
        label
        for label in labels
        if finding.message.startswith(f"{label} is ")
        or f"{json.dumps(label, ensure_ascii=False)} = " in finding.remedy
    }
    assert named, finding
    return max(named, key=len)
