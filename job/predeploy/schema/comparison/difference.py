"""The difference of two schemas: what to run, and what only to report. Pure, without I/O."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from predeploy.schema.comparison import naming, owners, rights
from predeploy.schema.comparison.ordering import in_order
from predeploy.schema.comparison.waiting import Planned, Unmet, hold_back
from predeploy.schema.ddl import Change, Outcome, Phase, Report
from predeploy.schema.facts import Fact, compare
from predeploy.schema.kind import Kind
from predeploy.schema.kinds import KINDS, Entry
from predeploy.schema.kinds.columns.retyped import is_only_printed_otherwise
from predeploy.schema.namespaces import refusal, takers
from predeploy.schema.schema_pair import SchemaIndex, SchemaPair
from predeploy.schema.written import NOTHING_WRITTEN, Written

_NOTHING_KNOWN = Unmet()


@dataclass(frozen=True, slots=True)
class Difference:
    """What is missing on the live side.

    `changes` make it true, in the order in which they run, phase by phase. `reports` are never
    executed. `missing` and `changed` (desired, live) are the bare facts behind both; a live object
    with another name and an equal definition counts as the desired one.
    """

    changes: tuple[Change, ...]
    reports: tuple[Report, ...]
    missing: tuple[Fact, ...]
    changed: tuple[tuple[Fact, Fact], ...]

    def __bool__(self) -> bool:
        """Whether there is anything to run or to report."""
        return bool(self.changes or self.reports)

    def of(self, phase: Phase) -> tuple[Change, ...]:
        """Return the changes of one phase, in order."""
        return tuple(change for change in self.changes if change.phase is phase)


def difference(
    desired: Iterable[Fact],
    live: Iterable[Fact],
    sizes: Mapping[str, int],
    server_version: int,
    users: Mapping[str, str] = MappingProxyType({}),
    *,
    unmet: Unmet = _NOTHING_KNOWN,
    may_alter: bool = True,
    written: Written = NOTHING_WRITTEN,
    role: str = "",
) -> Difference:
    """Plan what makes every desired fact true without removing anything.

    `sizes` are the bytes of live tables, by identity (`public.users`); a table without an entry
    counts as small, and as one that holds rows. `users` are the objects that prevent a change of a
    live column's type, by the column's identity. `unmet` says what else prevents changes, and which
    drifts do not. Unless `may_alter` is set, what could be altered safely is reported as drift.
    `written` is what the files say that no catalog keeps; `role` is the role that creates what is
    missing.
    """
    desired, live = frozenset(desired), frozenset(live)
    desired |= owners.grants_to_own_role(desired, live, written, role)
    # Nearly all facts are equal; set operations find that without sorting them. The owner of an
    # object is not declared, and matters only to what is reported of rights.
    lacking = frozenset(fact for fact in desired - live if not fact.get("owned"))
    extra = live - desired
    if not written.rights:
        extra = frozenset(fact for fact in extra if not fact.get("owned"))
    compared = compare(lacking, extra)
    if not compared:
        return Difference((), (), (), ())
    wanted, found = SchemaIndex(desired), SchemaIndex(live)
    twins = dict(_twins(compared.missing, compared.extra))
    pair = SchemaPair(
        wanted,
        found,
        SchemaIndex(compared.missing),
        SchemaIndex(compared.extra),
        SchemaIndex(twins),
        sizes,
        server_version,
        users,
        may_alter,
        written,
        role,
    )
    missing = tuple(fact for fact in compared.missing if fact not in twins)
    # A twin's different name is no difference; its state (not valid) can be one.
    renamed = tuple(
        (fact, twin) for fact, twin in twins.items() if fact.attributes != twin.attributes
    )
    changed = (*compared.changed, *renamed)
    missing, commented = _with_moved(missing, twins, found)
    changed += commented
    taken = takers(found, missing)
    outcomes: list[tuple[Fact, Change | Report]] = []
    for fact in missing:
        refused = refusal(fact, taken, wanted)
        planned = [refused] if refused else _entry(fact).plan(fact, None, pair)
        outcomes += ((fact, outcome) for outcome in _with_revokes(tuple(planned), fact, pair))
    for fact, other in changed:
        if not is_only_printed_otherwise(fact, other, pair):
            outcomes += ((fact, outcome) for outcome in _entry(fact).plan(fact, other, pair))
    # A twin is declared, under another name.
    known = set(twins.values())
    for fact in compared.extra:
        if fact not in known:
            outcomes += ((fact, outcome) for outcome in _entry(fact).undeclared(fact, pair))
    changes, reports = hold_back(
        Planned(
            tuple((fact, o) for fact, o in outcomes if isinstance(o, Change)),
            tuple((fact, o) for fact, o in outcomes if isinstance(o, Report)),
            tuple(fact for fact, _ in changed),
        ),
        pair,
        unmet,
    )
    # No change depends on an object's name or on privileges.
    told = (
        *reports,
        *naming.misnamed(twins, pair),
        *rights.excess(compared.changed, pair),
        *rights.undeclared_defaults((fact for fact, _ in changes), pair),
    )
    return Difference(
        in_order(changes, pair),
        tuple(sorted(told, key=lambda r: (r.verdict.value, r.object, r.code))),
        missing,
        changed,
    )


def _with_moved(
    missing: Sequence[Fact], twins: Mapping[Fact, Fact], found: SchemaIndex
) -> tuple[tuple[Fact, ...], tuple[tuple[Fact, Fact], ...]]:
    """Apply comments to objects that exist under another name.

    Return what is then missing, and the pairs whose live comment has another text.
    """
    subjects = naming.subjects(twins)
    kept: list[Fact] = []
    other: list[tuple[Fact, Fact]] = []
    for fact in missing:
        moved = naming.moved(fact, subjects) if fact.kind == Kind.COMMENT.value else None
        live = found.facts.get(moved.key) if moved is not None else None
        if moved is None or live is None:
            kept.append(moved or fact)
        elif moved.get("text") != live.get("text"):
            other.append((moved, live))
    return tuple(kept), tuple(other)


def _with_revokes(planned: Sequence[Change | Report], made: Fact, pair: SchemaPair) -> Outcome:
    """Add the REVOKEs of undeclared default privileges to the change that creates the object."""
    revoked = tuple(rights.revokes(made, pair))
    first = next((outcome for outcome in planned if isinstance(outcome, Change)), None)
    for outcome in planned:
        if outcome is first and first is not None and revoked:
            yield replace(first, statements=(*first.statements, *revoked))
        else:
            yield outcome


_ENTRIES = {kind.value: entry for kind, entry in KINDS.items()}


def _entry(fact: Fact) -> Entry:
    return _ENTRIES[fact.kind]


def _twin_scope(fact: Fact) -> tuple[str, ...]:
    return (fact.kind, *_entry(fact).twin_scope(fact))


def _twins(missing: Iterable[Fact], extra: Iterable[Fact]) -> Iterator[tuple[Fact, Fact]]:
    """Pair missing facts with live ones of another name, such as an index named by the server."""
    left = defaultdict(list)
    for fact in extra:
        left[_twin_scope(fact)].append(fact)
    for fact in missing:
        nearby = left[_twin_scope(fact)]
        twin = next((other for other in nearby if _entry(fact).is_twin(fact, other)), None)
        if twin is not None:
            nearby.remove(twin)
            yield fact, twin
