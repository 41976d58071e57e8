"""The difference of two schemas: what to run, and what only to say. Pure; nothing is looked up."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from predeploy.schema.comparison import naming, owners, rights
from predeploy.schema.comparison.waiting import Planned, Unmet, hold_back, put_off
from predeploy.schema.ddl import Change, Phase, Report
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
    """What lacks on the live side.

    `changes` make it true, in the order in which they run, phase by phase. `reports` are what is
    never executed. `missing` and `changed` (desired, live) are the bare facts behind both, where a
    live object of another name with an equal definition counts as the one that is desired.
    """

    changes: tuple[Change, ...]
    reports: tuple[Report, ...]
    missing: tuple[Fact, ...]
    changed: tuple[tuple[Fact, Fact], ...]

    def __bool__(self) -> bool:
        """Whether there is anything to run or to say."""
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
    """Plan what makes every desired fact true without taking anything away.

    `sizes` are the bytes of live tables, by identity (`public.users`); one that it does not know
    counts as small, and as one that holds rows. `users` are what keeps a live column's type from
    being changed, by the column's identity. `unmet` says what else stands in the way, and which
    drifts do not. Unless it `may_alter`, what could be altered safely is reported as drift.
    `written` is what the files say that no catalog keeps, and `role` who creates what is missing.
    """
    desired, live = frozenset(desired), frozenset(live)
    desired |= owners.ours(desired, live, written, role)
    # Nearly all are alike, which sets tell without sorting them out.
    # To whom an object belongs is not declared, and matters to what is said of rights alone.
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
    # A twin's name is another, which is no difference; its state (not valid) can be one.
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
        outcomes += ((fact, outcome) for outcome in _closed(tuple(planned), fact, pair))
    for fact, other in changed:
        if not is_only_printed_otherwise(fact, other, pair):
            outcomes += ((fact, outcome) for outcome in _entry(fact).plan(fact, other, pair))
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
    # Nothing waits for what something is called, nor for who may do what.
    told = (
        *reports,
        *naming.misnamed(twins, pair),
        *rights.excess(compared.changed, pair),
        *rights.given((fact for fact, _ in changes), pair),
    )
    return Difference(
        tuple(sorted(put_off(changes, pair), key=_place)),
        tuple(sorted(told, key=lambda r: (r.verdict.value, r.object, r.code))),
        missing,
        changed,
    )


def _with_moved(
    missing: Sequence[Fact], twins: Mapping[Fact, Fact], found: SchemaIndex
) -> tuple[tuple[Fact, ...], tuple[tuple[Fact, Fact], ...]]:
    """Let comments on what is there under another name be on that.

    Returns what is missing then, and the pairs of which the live one has another text.
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


def _closed(
    planned: Sequence[Change | Report], made: Fact, pair: SchemaPair
) -> Iterator[Change | Report]:
    """Let what makes an object take back what that gives to whom the files do not give it."""
    revoked = tuple(rights.closed(made, pair))
    first = next((outcome for outcome in planned if isinstance(outcome, Change)), None)
    for outcome in planned:
        if outcome is first and first is not None and revoked:
            yield replace(first, statements=(*first.statements, *revoked))
        else:
            yield outcome


_ENTRIES = {kind.value: entry for kind, entry in KINDS.items()}


def _entry(fact: Fact) -> Entry:
    return _ENTRIES[fact.kind]


def _near(fact: Fact) -> tuple[str, ...]:
    return (fact.kind, *_entry(fact).near(fact))


def _twins(missing: Iterable[Fact], extra: Iterable[Fact]) -> Iterator[tuple[Fact, Fact]]:
    """Pair what lacks with what is there under another name: an unnamed index, say."""
    left = defaultdict(list)
    for fact in extra:
        left[_near(fact)].append(fact)
    for fact in missing:
        nearby = left[_near(fact)]
        twin = next((other for other in nearby if _entry(fact).is_twin(fact, other)), None)
        if twin is not None:
            nearby.remove(twin)
            yield fact, twin


_PUT_OFF = frozenset(
    kind.value
    for kind in (
        Kind.VIEW, Kind.MATERIALIZED_VIEW, Kind.ROUTINE, Kind.INDEX, Kind.TRIGGER, Kind.RULE,
    )
)  # fmt: skip


def _place(change: Change) -> tuple[int, int, int, str]:
    """Return what to sort by: the phase; then, in TOGETHER, creation before kind."""
    rank = Kind(change.fact.kind).rank
    first, second = change.order, rank
    if change.phase in (Phase.ONLINE, Phase.AFTER):
        # Unique indexes before the foreign keys that need them; grants before comments.
        first, second = rank, change.order
    if change.phase is Phase.AFTER and change.fact.kind in _PUT_OFF:
        first, second = 0, change.order
    return (change.phase.value, first, second, change.fact.identity)
