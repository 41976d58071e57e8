"""Changes that have to wait for something that is not added, so that they do not fail for it.

Facts know no dependencies. What a statement mentions by name stands in for them: a change held back
for nothing is reported and made by the next run, one sent for nothing fails its whole phase.
"""

import re
from collections.abc import Iterable
from dataclasses import replace

from job.schema.ddl import Change, Phase, Report, Verdict, not_addable
from job.schema.facts import Fact
from job.schema.kind import Kind

_WORD = re.compile(r"\w+")
_COLUMNS = re.compile(r"\([^()]*\)")
# What these mention may be meant; a table or a type needs nothing but types that come before it.
_NEEDY = frozenset(
    kind.value
    for kind in (
        Kind.SEQUENCE, Kind.COLUMN, Kind.INDEX, Kind.CONSTRAINT, Kind.VIEW, Kind.MATERIALIZED_VIEW,
        Kind.ROUTINE, Kind.TRIGGER, Kind.RULE, Kind.POLICY, Kind.STATISTICS, Kind.GRANT,
        Kind.COMMENT,
    )
)  # fmt: skip
_UNIQUE = ("unique", "primary key")


def hold_back(
    changes: Iterable[Change],
    reports: Iterable[Report],
    missing: Iterable[Fact],
    tables: Iterable[Fact],
) -> tuple[tuple[Change, ...], tuple[Report, ...]]:
    """Turn the changes that need something that is not added into reports that say so.

    `tables` are the desired ones: their columns come and lack with those of their parents.
    """
    kept, told, missing, tables = list(changes), list(reports), list(missing), list(tables)
    labels = {r.object for r in told if r.verdict is Verdict.NOT_ADDABLE}
    todo = [fact for fact in missing if fact.label in labels]
    while todo:
        absent = todo.pop()
        heirs = _inherited(absent, missing, tables)
        held = {c.fact for c in kept if c.fact in heirs or _needs(c, absent)}
        kept = [c for c in kept if c.fact not in held]
        told += [
            not_addable(
                fact,
                "waits",
                f"it needs {absent.label}, which is missing",
                f"make {absent.label}; the next run then adds this, too",
            )
            for fact in sorted(held, key=lambda fact: fact.key)
        ]
        todo += [*held, *(fact for fact in heirs if fact not in held)]
    return tuple(kept), tuple(told)


def _inherited(absent: Fact, missing: Iterable[Fact], tables: Iterable[Fact]) -> list[Fact]:
    """Return the missing columns that tables would have from an absent one of their parent."""
    if absent.kind != Kind.COLUMN.value:
        return []
    parent = (absent.schema, absent.relation)
    heirs = {
        (table.schema, table.relation)
        for table in tables
        if table.listed("partition of") == parent or _names(table.listed("inherits"), parent)
    }
    return [
        fact
        for fact in missing
        if fact.kind == absent.kind
        and fact.name == absent.name
        and (fact.schema, fact.relation) in heirs
        and fact.get("inherited")
    ]


def _names(quoted: Iterable[str], relation: tuple[str, str]) -> bool:
    """Whether a relation is among some names that are quoted where they have to be."""
    return ".".join(relation) in {name.replace('"', "") for name in quoted}


def put_off(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Put off the views that may group by a primary key which is built online, and what needs them.

    https://www.postgresql.org/docs/current/sql-select.html, GROUP BY: functional dependency.
    """
    given = tuple(changes)
    keys = [
        c.fact for c in given if c.phase is Phase.ONLINE and c.fact.get("type") == "primary key"
    ]
    todo = [
        c.fact
        for c in given
        if "GROUP BY" in c.fact.get("definition")
        and any(_mentions(c, key.schema, key.relation) for key in keys)
    ]
    late = set(todo)
    while todo:
        first = todo.pop()
        more = {
            c.fact
            for c in given
            if c.fact.kind in _NEEDY and _mentions(c, first.relation, first.name)
        } - late
        late |= more
        todo += more
    return tuple(replace(c, phase=Phase.AFTER) if c.fact in late else c for c in given)


def _mentions(change: Change, *names: str) -> bool:
    words = set(_WORD.findall(" ".join(change.statements)))
    return all(words.issuperset(_WORD.findall(name)) for name in names if name)


def _needs(change: Change, absent: Fact) -> bool:
    fact = change.fact
    if fact.kind not in _NEEDY or fact == absent:
        return False
    if fact.kind == Kind.ROUTINE.value and "BEGIN ATOMIC" not in fact.get("definition"):
        return False  # its body is text, looked at when it is called
    if absent.kind == Kind.CONSTRAINT.value and absent.get("type") in _UNIQUE:
        columns = _COLUMNS.search(absent.get("definition"))
        is_key = columns is not None and columns[0] in fact.get("definition")
        if is_key and fact.listed("references") == (absent.schema, absent.relation):
            return True
    return _mentions(change, absent.relation, absent.name)
