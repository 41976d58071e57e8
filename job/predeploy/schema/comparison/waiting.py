"""Holds back changes that depend on something that is not as declared, so they do not fail.

Dependencies come from PostgreSQL's catalogs of the declared objects, and from a fact's key. There
are two kinds. An object that only names another (a comment, a grant, a trigger its table) needs
that to exist, in whatever shape. An object made of another (an index of a column, a view of a view,
a foreign key of a key) needs that as it is declared.
"""

from collections import defaultdict, deque
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from predeploy.schema.ddl import Change, Report, Verdict, not_addable
from predeploy.schema.described import as_drift
from predeploy.schema.facts import Fact, Key
from predeploy.schema.kind import Kind
from predeploy.schema.needs import Needs
from predeploy.schema.schema_pair import SchemaPair

WAITS = "waits"
# How a column is numbered does not affect what is made of it.
_COUNTING = ("column-identity", "column-sequence")


Made = tuple[Fact, Change]
"""A desired fact, and the change that makes it true."""


class State(Enum):
    """How a declared object fails to be as declared; the value completes a sentence about it."""

    ABSENT = "which is missing"
    OTHERWISE = "which is there with another shape"


@dataclass(frozen=True, slots=True)
class Unmet:
    """Further reasons why objects are not as declared, beyond the difference itself.

    `violated` names what rows or the server itself prevent, as this run has found and reported.
    `accepted` are the drifts that the operator has accepted, as (object, live shape): what needs
    such an object is made from it as it is. None means that all are accepted.
    """

    violated: frozenset[str] = frozenset()
    accepted: frozenset[tuple[str, str]] | None = frozenset()

    def holds_back(self, report: Report) -> bool:
        """Whether dependents of the reported object have to wait for it."""
        if report.verdict is Verdict.DRIFT:
            ways = {as_drift(report).line, (report.object, report.live)}
            is_accepted = self.accepted is None or not self.accepted.isdisjoint(ways)
            return not is_accepted and report.code not in _COUNTING
        return report.verdict is Verdict.NOT_ADDABLE


@dataclass(frozen=True, slots=True)
class Planned:
    """What the kinds plan for the difference: desired facts, each with a change or a report.

    `changed` are the desired facts that exist in another shape.
    """

    changes: tuple[Made, ...]
    reports: tuple[tuple[Fact, Report], ...]
    changed: tuple[Fact, ...]


def hold_back(
    planned: Planned, pair: SchemaPair, unmet: Unmet
) -> tuple[tuple[Made, ...], tuple[Report, ...]]:
    """Turn changes that need what is not as declared into reports of that.

    What `unmet` lists as violated is neither tried nor reported again.
    """
    changes = [(fact, c) for fact, c in planned.changes if c.fact.label not in unmet.violated]
    reports = [report for _, report in planned.reports]
    states = _first_states(planned, pair, unmet)
    if not states:
        return tuple(changes), tuple(reports)
    making = {fact.key for fact, _ in changes}
    # Facts without a change of their own (a column of a view) appear and differ with another one.
    of_views = (f for f in planned.changed if f.kind == Kind.COLUMN.value and _is_of_view(f, pair))
    known = {f.key: f for f in (*pair.absent.values(), *of_views, *(f for f, _ in changes))}
    waiting = _Graph(known.values(), making, pair).reach(states)
    held = sorted((w for w in waiting if w.fact.key in making), key=_by_key)
    reports += [_waits(one) for one in held if not _is_told_already(one)]
    held_keys = {one.fact.key for one in waiting}
    return tuple(made for made in changes if made[0].key not in held_keys), tuple(reports)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A fact that waits, what it waits for, and how that is not as declared."""

    fact: Fact
    cause: Fact
    state: State
    is_there: bool


class _Graph:
    """The dependencies among facts that may have to wait."""

    def __init__(self, facts: Iterable[Fact], making: Container[Key], pair: SchemaPair) -> None:
        self._sides = pair
        self._making = making
        self._missing = pair.absent
        needs = Needs(pair, making)
        self._above: dict[Key, list[tuple[Fact, bool]]] = defaultdict(list)
        for fact in facts:
            for key, is_made_of in needs.of(fact):
                self._above[key].append((fact, is_made_of))

    def reach(self, states: Mapping[Key, State]) -> tuple[_Waiting, ...]:
        """Return everything that waits, directly or indirectly, for a fact in one of `states`."""
        missing, desired = self._missing, self._sides.desired.facts
        seen, found = dict(states), []
        todo = deque(
            (key, state, (desired[key], state)) for key, state in states.items() if key in desired
        )
        while todo:
            key, state, cause = todo.popleft()
            for fact, is_made_of in self._above.get(key, ()):
                if fact.key in seen or (state is State.OTHERWISE and not is_made_of):
                    continue
                is_there = fact.key not in missing
                if not is_there or fact.key in self._making:
                    found.append(_Waiting(fact, *cause, is_there))
                if is_there and fact.kind == Kind.COLUMN.value and fact.key in self._making:
                    continue  # only its default or its NOT NULL waits
                seen[fact.key] = its_own = State.OTHERWISE if is_there else State.ABSENT
                # A fact without a change of its own would not help the reader, so name its cause.
                said = (fact, its_own) if fact.key in self._making else cause
                todo.append((fact.key, its_own, said))
        return tuple(found)


def _is_of_view(column: Fact, pair: SchemaPair) -> bool:
    return pair.desired.get(Kind.TABLE, column.schema, column.relation) is None


def _first_states(planned: Planned, pair: SchemaPair, unmet: Unmet) -> dict[Key, State]:
    """Return the facts that are not as declared for a reason other than a dependency."""
    missing = pair.absent
    refused = [fact for fact, report in planned.reports if unmet.holds_back(report)]
    violated = [fact for fact, c in planned.changes if c.fact.label in unmet.violated]
    return {
        fact.key: State.ABSENT if fact.key in missing else State.OTHERWISE
        for fact in (*refused, *_hindered(violated, pair))
    }


def _hindered(violated: Iterable[Fact], pair: SchemaPair) -> Iterator[Fact]:
    """Yield the facts that rows violate; of a live column, rows only prevent the NOT NULL."""
    for fact in violated:
        if fact.kind != Kind.COLUMN.value or fact.key in pair.missing.facts:
            yield fact
            continue
        not_nulls = pair.missing.on((fact.schema, fact.relation), Kind.NOT_NULL)
        yield from (other for other in not_nulls if other.get("column") == fact.name)


def _by_key(waiting: _Waiting) -> Key:
    return waiting.fact.key


def _is_told_already(waiting: _Waiting) -> bool:
    """Whether it is a live column's default that waits for a sequence, which is reported itself."""
    fact, cause = waiting.fact, waiting.cause
    owner = (fact.schema, fact.relation, fact.name)
    return waiting.is_there and cause.listed("owned by") == owner


def _waits(waiting: _Waiting) -> Report:
    fact, cause, state = waiting.fact, waiting.cause, waiting.state
    named = cause.name if cause.kind == Kind.UNMODELLED.value else cause.label
    why = f"it needs {named}, {state.value}"
    first = f"make {named}" if state is State.ABSENT else f"settle {named} first"
    report = not_addable(fact, WAITS, why, f"{first}; the next run then adds this, too")
    if not waiting.is_there:
        return report
    message = f"{fact.label} is there and stays as it is, not as it is declared: {why}"
    return replace(report, message=message)
