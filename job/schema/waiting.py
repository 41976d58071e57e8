"""Changes that have to wait for something that is not added, so that they do not fail for it.

Facts know no dependencies. What a statement mentions by name stands in for them: a change held back
for nothing is reported and made by the next run, one sent for nothing fails its whole phase.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from job.schema.ddl import Change, Phase, Report, Verdict, not_addable
from job.schema.facts import Fact
from job.schema.kind import Kind
from job.schema.sides import Side

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
    desired: Side,
) -> tuple[tuple[Change, ...], tuple[Report, ...]]:
    """Turn the changes that need something that is not added into reports that say so.

    The columns of a `desired` table come and lack with those of its parents.
    """
    given, told, lacking = tuple(changes), list(reports), Side(missing)
    labels = {r.object for r in told if r.verdict is Verdict.NOT_ADDABLE}
    todo = [fact for fact in lacking.facts.values() if fact.label in labels] if labels else []
    if not todo:
        return given, tuple(told)
    kept, index = {change.fact for change in given}, _Index(given)
    while todo:
        absent = todo.pop()
        heirs = _inherited(absent, lacking, desired)
        held = kept & {*heirs, *(c.fact for c in index.near(absent) if _needs(c, absent))}
        kept -= held
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
    return tuple(change for change in given if change.fact in kept), tuple(told)


class _Index:
    """Changes by what they may need, so that not each is asked about each thing that is absent."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self._changes = changes
        self._by_word: dict[str, set[int]] = defaultdict(set)
        self._by_reference: dict[tuple[str, ...], set[int]] = defaultdict(set)
        for number, change in enumerate(changes):
            for word in _words(" ".join(change.statements)):
                self._by_word[word].add(number)
            if change.fact.get("references"):
                self._by_reference[change.fact.listed("references")].add(number)

    def near(self, thing: Fact) -> Iterable[Change]:
        """Return the changes that mention its name, or refer to its table."""
        named = [self._by_word.get(w, set()) for w in _words(f"{thing.relation} {thing.name}")]
        if not named:
            return self._changes
        found = set.intersection(*named)
        found |= self._by_reference.get((thing.schema, thing.relation), set())
        return [self._changes[number] for number in sorted(found)]


def _inherited(absent: Fact, missing: Side, desired: Side) -> list[Fact]:
    """Return the missing columns that tables would have from an absent one of their parent."""
    if absent.kind != Kind.COLUMN.value:
        return []
    heirs = (
        missing.get(Kind.COLUMN, table.schema, table.relation, absent.name)
        for table in desired.below((absent.schema, absent.relation))
    )
    return [fact for fact in heirs if fact is not None and fact.get("inherited")]


def put_off(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Put off the views that may group by a primary key which is built online, and what needs them.

    https://www.postgresql.org/docs/current/sql-select.html, GROUP BY: functional dependency.
    """
    given = tuple(changes)
    keys = [
        c.fact for c in given if c.phase is Phase.ONLINE and c.fact.get("type") == "primary key"
    ]
    if not keys:
        return given
    todo = [
        c.fact
        for c in given
        if "GROUP BY" in c.fact.get("definition")
        and any(_mentions(c, key.schema, key.relation) for key in keys)
    ]
    late, index = set(todo), _Index(given)
    while todo:
        first = todo.pop()
        more = {
            c.fact
            for c in index.near(first)
            if c.fact.kind in _NEEDY and _mentions(c, first.relation, first.name)
        } - late
        late |= more
        todo += more
    return tuple(replace(c, phase=Phase.AFTER) if c.fact in late else c for c in given)


def _mentions(change: Change, *names: str) -> bool:
    words = _words(" ".join(change.statements))
    return all(words.issuperset(_words(name)) for name in names if name)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text))


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
