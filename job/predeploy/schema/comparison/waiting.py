"""What has to wait for something that is not as it is declared, so that it does not fail for it.

Decided by what needs what: PostgreSQL's own dependencies between the declared things, and what a
fact's key tells. Two sorts of need differ. Who only names a thing (a comment, a grant, a trigger
its table) can do so whatever its shape is, as long as it is there. Who is made of it (an index of
a column, a view of a view, a foreign key of a key) needs it as it is declared.
"""

from collections import defaultdict, deque
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from predeploy.schema.ddl import Change, Phase, Report, Verdict, not_addable
from predeploy.schema.facts import Fact, Key
from predeploy.schema.kind import Kind
from predeploy.schema.schema_pair import SchemaIndex, SchemaPair, parents

WAITS = "waits"
_RELATIONS = (Kind.TABLE, Kind.VIEW, Kind.MATERIALIZED_VIEW, Kind.SEQUENCE)
_RELATION_KINDS = frozenset(kind.value for kind in _RELATIONS)
_NAMING = frozenset((Kind.COMMENT.value, Kind.GRANT.value))
# Of these only that they are there matters to what needs them, and to these of what they need.
_NAMED_ONLY = frozenset((Kind.SEQUENCE.value, Kind.SCHEMA.value))
# How a column counts its rows changes nothing for what is made of it.
_COUNTING = ("column-identity", "column-sequence")
_INDEX_LIKE = (Kind.INDEX.value, Kind.CONSTRAINT.value)
_PARTS = (Kind.PARTITION_INDEX.value, Kind.PARTITION_CONSTRAINT.value)
_NAMED_LIKE_THEIR_KIND = (
    Kind.TEXT_SEARCH_DICTIONARY.value, Kind.TEXT_SEARCH_CONFIGURATION.value,
)  # fmt: skip
_MEANT_BY = {
    "column": (Kind.COLUMN.value,),
    "constraint": (
        Kind.CONSTRAINT.value,
        Kind.PARTITION_CONSTRAINT.value,
        Kind.DOMAIN_CONSTRAINT.value,
        Kind.NOT_NULL.value,
    ),
    "index": (*_INDEX_LIKE, *_PARTS),
    "foreign table": (Kind.TABLE.value,),
} | {
    kind: (kind,)
    for kind in (
        *(k.value for k in (*_RELATIONS, Kind.TRIGGER, Kind.POLICY, Kind.RULE)),
        *_NAMED_LIKE_THEIR_KIND,
    )
}


Made = tuple[Fact, Change]
"""A desired fact and what makes it true."""


class State(Enum):
    """How a thing that was declared is not there; the value says it of the thing."""

    ABSENT = "which is missing"
    OTHERWISE = "which is there with another shape"


@dataclass(frozen=True, slots=True)
class Unmet:
    """What is known beside the difference itself of why things are not as they are declared.

    `violated` names what rows or the server itself keep from being made, as this run has found and
    said. `accepted` are the drifts that somebody lives with, as (object, live shape): what needs
    such a thing is made of it as it is. None: all of them.
    """

    violated: frozenset[str] = frozenset()
    accepted: frozenset[tuple[str, str]] | None = frozenset()

    def holds_back(self, report: Report) -> bool:
        """Whether what needs the thing that is reported has to wait for it."""
        if report.verdict is Verdict.DRIFT:
            ways = {report.as_drift.line, (report.object, report.live)}
            is_accepted = self.accepted is None or not self.accepted.isdisjoint(ways)
            return not is_accepted and report.code not in _COUNTING
        return report.verdict is Verdict.NOT_ADDABLE


@dataclass(frozen=True, slots=True)
class Planned:
    """What the kinds make of the difference: each a desired fact and what is to be done or said.

    `changed` are the desired facts that are there otherwise.
    """

    changes: tuple[Made, ...]
    reports: tuple[tuple[Fact, Report], ...]
    changed: tuple[Fact, ...]


def hold_back(
    planned: Planned, pair: SchemaPair, unmet: Unmet
) -> tuple[tuple[Made, ...], tuple[Report, ...]]:
    """Turn the changes that need what is not as declared into reports that say so.

    What `unmet` says is violated is not tried again, and not said again.
    """
    changes = [(fact, c) for fact, c in planned.changes if c.fact.label not in unmet.violated]
    reports = [report for _, report in planned.reports]
    states = _first_states(planned, pair, unmet)
    if not states:
        return tuple(changes), tuple(reports)
    making = {fact.key for fact, _ in changes}
    # What nobody makes by itself (a column of a view) comes, lacks and differs with another.
    of_views = (f for f in planned.changed if f.kind == Kind.COLUMN.value and _is_of_view(f, pair))
    known = {f.key: f for f in (*_missing(pair).values(), *of_views, *(f for f, _ in changes))}
    waiting = _Graph(known.values(), making, pair).reach(states)
    held = sorted((w for w in waiting if w.fact.key in making), key=_by_key)
    reports += [_waits(one) for one in held if not _is_told_already(one)]
    held_keys = {one.fact.key for one in waiting}
    return tuple(made for made in changes if made[0].key not in held_keys), tuple(reports)


def put_off(changes: Sequence[Made], pair: SchemaPair) -> tuple[Change, ...]:
    """Put off what needs a key or an index that is built online, until that is there.

    A view that groups by a primary key does, and what is made of that view.
    """
    online = {
        fact.key: State.ABSENT
        for fact, c in changes
        if c.phase is Phase.ONLINE and fact.kind in _INDEX_LIKE
    }
    at_once = {fact.key: fact for fact, c in changes if c.phase is Phase.TOGETHER}
    if not online or not at_once:
        return tuple(change for _, change in changes)
    late = {w.fact.key for w in _Graph(at_once.values(), at_once, pair).reach(online)}
    return tuple(replace(c, phase=Phase.AFTER) if fact.key in late else c for fact, c in changes)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A fact that waits, for what, and how that is not as declared."""

    fact: Fact
    cause: Fact
    state: State
    is_there: bool


class _Graph:
    """Who needs whom, of those that may have to wait."""

    def __init__(self, facts: Iterable[Fact], making: Container[Key], pair: SchemaPair) -> None:
        self._sides = pair
        self._making = making
        self._missing = _missing(pair)
        self._named = _Names(pair.desired)
        self._above: dict[Key, list[tuple[Fact, bool]]] = defaultdict(list)
        for fact in facts:
            for key, is_made_of in self._needs(fact):
                self._above[key].append((fact, is_made_of))

    def reach(self, states: Mapping[Key, State]) -> tuple[_Waiting, ...]:
        """Return all that waits for what is in such a state, directly or not."""
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
                # What is not made by itself says nothing to who waits for it.
                said = (fact, its_own) if fact.key in self._making else cause
                todo.append((fact.key, its_own, said))
        return tuple(found)

    def _needs(self, fact: Fact) -> Iterator[tuple[Key, bool]]:
        """Yield the keys of what it needs, each with whether it is made of that."""
        for key in fact.needs:
            yield key, key[0] not in _NAMED_ONLY and fact.kind not in _NAMED_ONLY
            if key[0] == Kind.COLUMN.value:  # another relation of that name may have one, too
                yield from (((kind.value, *key[1:3], ""), False) for kind in _RELATIONS)
        yield (Kind.SCHEMA.value, fact.schema, "", ""), False
        if fact.get("references"):  # the catalog names only its columns and its key
            schema, referred = fact.listed("references")
            yield (Kind.TABLE.value, schema, referred, ""), True
        if fact.kind in _NAMING:
            yield from ((key, False) for key in self._named.meant_by(fact))
        if fact.kind == Kind.NOT_NULL.value:
            yield (Kind.COLUMN.value, fact.schema, fact.relation, fact.get("column")), True
            yield (Kind.DOMAIN.value, fact.schema, "", fact.relation), True
        if fact.kind in (*_INDEX_LIKE, *_PARTS):
            desired = self._sides.desired
            yield from ((part.key, True) for part in desired.parts_of(fact))
            whole = desired.whole_of(fact)
            if whole is not None:
                yield whole.key, True
        if fact.relation and fact.kind not in _RELATION_KINDS:
            for kind in _RELATIONS:
                is_its_query = fact.kind == Kind.COLUMN.value and kind is not Kind.TABLE
                yield (kind.value, fact.schema, fact.relation, ""), is_its_query
        yield from self._needs_of_columns(fact)

    def _needs_of_columns(self, fact: Fact) -> Iterator[tuple[Key, bool]]:
        """Yield what a new table needs for its columns, and a column that comes with another."""
        if fact.kind == Kind.TABLE.value and fact.key in self._missing:
            for column in self._sides.desired.on((fact.schema, fact.relation), Kind.COLUMN):
                if column.key not in self._making:  # it is made with its table
                    yield column.key, True
        if fact.get("inherited"):
            table = self._sides.desired.get(Kind.TABLE, fact.schema, fact.relation)
            for parent in parents(table) if table is not None else ():
                yield (Kind.COLUMN.value, *parent, fact.name), False


class _Names:
    """Finds what comments and grants are about, which know it by its name."""

    def __init__(self, desired: SchemaIndex) -> None:
        self._desired = desired
        self._by_name: dict[tuple[str, str], list[Fact]] = defaultdict(list)
        for fact in desired.facts.values():
            if fact.kind not in _NAMING:
                self._by_name[fact.schema, _bare(fact.name or fact.relation)].append(fact)

    def meant_by(self, fact: Fact) -> Iterator[Key]:
        """Yield the keys of what a comment or a grant is about."""
        if fact.kind == Kind.COMMENT.value:
            word, _, name = fact.name.partition(" ")
            if fact.name in _MEANT_BY:
                word, name = fact.name, ""
            for kind in (kind for kind in _NAMED_LIKE_THEIR_KIND if fact.name.startswith(kind)):
                word, name = kind, fact.name.removeprefix(f"{kind} ")
            # What sync does not make is known by its kind and its name in one.
            others = self._by_name.get((fact.schema, _bare(fact.name)), ())
            yield from (o.key for o in others if o.kind == Kind.UNMODELLED.value)
            kinds = _MEANT_BY.get(word)
            yield (Kind.COMPOSITE.value, fact.schema, "", fact.relation)
            for thing in self._by_name.get((fact.schema, _bare(name or fact.relation)), ()):
                if thing.kind in kinds if kinds else thing.kind not in _RELATION_KINDS:
                    is_on_another = fact.relation and name and thing.relation != fact.relation
                    if not is_on_another:
                        yield thing.key
            return
        if columns := fact.get("columns"):
            yield (Kind.COLUMN.value, fact.schema, fact.relation, _bare(columns.strip(" ()")))
        _, _, target = fact.get("on").partition(" ")
        name = _bare(target).removeprefix(f"{fact.schema}.")
        yield from (thing.key for thing in self._by_name.get((fact.schema, name), ()))


def _bare(name: str) -> str:
    return name.replace('"', "")


def _is_of_view(column: Fact, pair: SchemaPair) -> bool:
    return pair.desired.get(Kind.TABLE, column.schema, column.relation) is None


def _missing(pair: SchemaPair) -> Mapping[Key, Fact]:
    """Return what is not there under another name either."""
    renamed = pair.renamed.facts
    return {key: fact for key, fact in pair.missing.facts.items() if key not in renamed}


def _first_states(planned: Planned, pair: SchemaPair, unmet: Unmet) -> dict[Key, State]:
    """Return what is not as declared, for reasons of its own."""
    missing = _missing(pair)
    refused = [fact for fact, report in planned.reports if unmet.holds_back(report)]
    violated = [fact for fact, c in planned.changes if c.fact.label in unmet.violated]
    return {
        fact.key: State.ABSENT if fact.key in missing else State.OTHERWISE
        for fact in (*refused, *_hindered(violated, pair))
    }


def _hindered(violated: Iterable[Fact], pair: SchemaPair) -> Iterator[Fact]:
    """Yield what rows violate; of a column that is there, they hinder nothing but its NOT NULL."""
    for fact in violated:
        if fact.kind != Kind.COLUMN.value or fact.key in pair.missing.facts:
            yield fact
            continue
        not_nulls = pair.missing.on((fact.schema, fact.relation), Kind.NOT_NULL)
        yield from (other for other in not_nulls if other.get("column") == fact.name)


def _by_key(waiting: _Waiting) -> Key:
    return waiting.fact.key


def _is_told_already(waiting: _Waiting) -> bool:
    """Whether it is the default of a live column from a sequence that is reported itself."""
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
