"""How each step of a migration is delivered, decided before any of them runs. Pure.

Effects that a rollback does not undo (a sequence's numbers, an email) happen only once if the step
runs only once. So whatever the text and one look at the catalog can show is not found by trying.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from predeploy import sql
from predeploy.contract.statement import Address, Statement
from predeploy.contract.step import Addition, Migration, Step
from predeploy.contract.words import mentions
from predeploy.judgment.sequence_use import NOTHING, SequenceUse, sequence_uses
from predeploy.judgment.ways import PLAIN, Delivery, Name

_WORD = re.compile(r"\w+")
_MAKES_NOTHING = frozenset((
    "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "truncate_stmt", "copy_stmt",
    "comment_stmt", "grant_stmt", "variable_set_stmt", "constraints_set_stmt", "drop_stmt",
    "create_trig_stmt", "create_policy_stmt", "create_function_stmt",
))  # fmt: skip
_REMOVES = frozenset((
    "alter_table_stmt", "rename_stmt", "drop_stmt", "do_stmt", "call_stmt", "select_stmt", "",
))  # fmt: skip
_COPIES = frozenset(("like", "inherits", "partition"))  # a CREATE TABLE with another one's columns
_IN_A_NEW_FILE = ("truncate", "rewrite")


@dataclass(frozen=True, slots=True)
class NameLookup:
    """A name to look for; in all schemas if the file sets the search_path."""

    address: Address
    is_anywhere: bool


def uses_of(steps: Sequence[Step]) -> tuple[SequenceUse, ...]:
    """Return what each step draws from; nothing for a step that is not judged by its text."""
    found = zip(steps, sequence_uses(steps), strict=True)
    return tuple(use if isinstance(step, Migration) else NOTHING for step, use in found)


def asks_for_a_look(steps: Sequence[Step], uses: Sequence[SequenceUse]) -> bool:
    """Whether existing objects decide how any of the steps is delivered."""
    return any(
        use.may_draw
        or use.rests_on
        or (isinstance(step, Migration) and (step.declarations or _writes_anew(step)))
        for step, use in zip(steps, uses, strict=True)
    )


def lookups(steps: Sequence[Step], uses: Sequence[SequenceUse]) -> frozenset[NameLookup]:
    """Return the names that decide how these steps are delivered: those of steps that may draw."""
    own = (
        NameLookup(address, _has_own_path(step))
        for step, use in zip(steps, uses, strict=True)
        if use.may_draw
        for statement in step.statements
        for address in (*statement.creates, *statement.removes)
    )
    return frozenset((*own, *(_rested_on(a) for use in uses for a in use.rests_on)))


def deliveries(
    steps: Sequence[Step], uses: Sequence[SequenceUse], there: Collection[NameLookup]
) -> tuple[Delivery, ...]:
    """Decide for each step; `there` is what was found of `lookups`."""
    earlier = _Earlier()
    draws = [
        use.may_draw or any(_rested_on(address) in there for address in use.rests_on)
        for use in uses
    ]
    asks = any(may and _has_names(step) for step, may in zip(steps, draws, strict=True))
    found = []
    for step, use, may_draw in zip(steps, uses, draws, strict=True):
        clashes = asks and _clashes(step, there, earlier)
        found.append(_delivery(step, replace(use, may_draw=may_draw), clashes=clashes))
    return tuple(found)


def _rested_on(address: Address) -> NameLookup:
    return NameLookup(replace(address, is_guarded=False), is_anywhere=False)


def _delivery(step: Step, use: SequenceUse, *, clashes: bool) -> Delivery:
    if isinstance(step, Addition):
        return Delivery(moves_sequences=True, reached=_reached(step))
    if not isinstance(step, Migration):
        return PLAIN
    destroyed = tuple(_destroyed(step.statements))
    emptied = [name for destruction in destroyed for name in destruction.emptied]
    declared = [_target(d.target) for d in step.declarations if d.verb in _IN_A_NEW_FILE]
    return Delivery(
        is_piecewise=step.is_replay or (use.may_draw and clashes),
        is_watched=bool(step.declarations or destroyed),
        counted=tuple(dict.fromkeys([*declared, *emptied])),
        moves_sequences=use.may_draw,
        moves_in_pieces=use.outlives,
        reached=_reached(step) if use.outlives else frozenset(),
        has_own_path=_has_own_path(step),
    )


def _reached(step: Step) -> frozenset[str]:
    return frozenset(name for s in step.statements for name in sql.relations_reached(s))


def _has_names(step: Step) -> bool:
    return any(s.creates or s.removes for s in step.statements)


def _has_own_path(step: Step) -> bool:
    return any(mentions(text, "search_path") for text in chain(step.texts, step.preamble))


def _destroyed(found: Iterable[Statement]) -> Iterator[sql.Destruction]:
    made: set[str] = set()
    for statement in found:
        if destruction := sql.destruction(statement, made):
            yield destruction
        made.update(a.relation for a in statement.creates if a.relation == a.name)


def _writes_anew(step: Step) -> bool:
    return any(destruction.emptied for destruction in _destroyed(step.statements))


def _target(declared: str) -> Name:
    schema, _, table = declared.rpartition(".")
    return (schema, table)


def _clashes(step: Step, there: Collection[NameLookup], earlier: "_Earlier") -> bool:
    """Whether something that the step makes may be there by then, or what it removes may not.

    Adds the step's statements to the earlier ones.
    """
    has_own_path, clashes = _has_own_path(step), False
    for statement in step.statements:
        for address in statement.creates:
            clashes |= NameLookup(address, has_own_path) in there or earlier.may_have_made(address)
        for address in statement.removes:
            is_there = NameLookup(address, has_own_path) in there or earlier.may_have_made(address)
            clashes |= not is_there or earlier.may_have_removed(address)
        earlier.add(statement)
    return clashes


class _Earlier:
    """The statements that come before, by their words: which may have made a name, or removed it.

    What says which table it makes or alters has made a part of that table where it has its name in
    it. Of others, such as a DO that puts its statements together, or a rename, the words have to
    do: the table's and the part's. One suspicion too many costs only round trips.
    """

    def __init__(self) -> None:
        self._making = _Mentions()
        self._removing = _Mentions()

    def add(self, statement: Statement) -> None:
        if statement.node not in _MAKES_NOTHING:
            self._making.add(statement)
        if statement.node in _REMOVES:
            self._removing.add(statement)

    def may_have_made(self, address: Address) -> bool:
        return self._making.has(address)

    def may_have_removed(self, address: Address) -> bool:
        return self._removing.has(address)


class _Mentions:
    """The words of statements: of those about a table by its name, of others one by one."""

    def __init__(self) -> None:
        self._count = 0
        self._about: defaultdict[str, set[str]] = defaultdict(set)
        self._others: defaultdict[str, set[int]] = defaultdict(set)

    def add(self, statement: Statement) -> None:
        words = _words(statement.text)
        tables = {a.relation for a in (*statement.creates, *statement.removes)}
        for table in tables:
            self._about[table] |= words
        if not tables:
            self._count += 1
            for word in words:
                self._others[word].add(self._count)

    def has(self, address: Address) -> bool:
        about = self._about.get(address.relation, set())
        if about and (about >= _words(address.name) or about & _COPIES):
            return True
        words = _words(f"{address.relation} {address.name}")
        return bool(set[int].intersection(*(self._others.get(word, set()) for word in words)))


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))
