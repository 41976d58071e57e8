"""What a file makes and takes away again, so that nothing of it is left: a section that undoes it.

Each tool marks such a section with a comment of its own, and so do people. Whatever the comment
says, the statements show it.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import postgast

from predeploy.contract.statement import Statement
from predeploy.losses.loss import Verb
from predeploy.sql.outcome.story import (
    NODES,
    TEMPORARY,
    Gone,
    Made,
    Renamed,
    Thing,
    Used,
    events,
    path_of,
)
from predeploy.sql.parser.parsing import parse
from predeploy.sql.statement.whitelist import path_of_select

_VERBS = {
    "table": Verb.DROP_TABLE,
    "foreign table": Verb.DROP_TABLE,
    "materialized view": Verb.DROP_TABLE,
    "column": Verb.DROP_COLUMN,
}
_RELATIONS = ("table", "foreign table", "view", "materialized view", "index", "sequence")
_TYPES = ("type", "domain")
_MAY_UNDO = frozenset((
    "drop_stmt", "drop_role_stmt", "alter_table_stmt", "rename_stmt", "alter_object_schema_stmt",
    "alter_enum_stmt",
))  # fmt: skip
_UNDOES = re.compile(r"\b(drop|rename|disable|force|set\s+schema)\b", re.IGNORECASE)
# What mentions a function without calling it.
_DESCRIBES = frozenset((
    "comment_stmt", "grant_stmt", "alter_function_stmt", "alter_owner_stmt",
    "alter_object_schema_stmt", "alter_object_depends_stmt", "drop_stmt",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Undone:
    """Something that one statement made, or renamed, and another one took away, or named back.

    `what` is for people (`table users`); `verb` and `target` are how a file declares that it means
    it. The schema in `target` is missing where no statement names it.
    """

    made: Statement
    gone: Statement
    what: str
    verb: Verb
    target: str

    def is_meant_by(self, verb: str, target: str) -> bool:
        """Whether `allow VERB TARGET` means it; a schema that the file leaves open may be named."""
        known = (self.target, self.target.removeprefix("public."))
        return verb == self.verb.value and (target in known or target.endswith(f".{self.target}"))


@dataclass(slots=True)
class _Entry:
    """What is there by now, since which statement; `origin` is what a renamed one was before."""

    thing: Thing
    place: int
    origin: Thing | None = None
    is_used: bool = False


_Pair = tuple[_Entry, int]


def undone(statements: Sequence[Statement]) -> tuple[Undone, ...]:
    """Return what the statements of one file undo of what they do, in the order of the undoing.

    Helpers pass: what is temporary, a function that is called in between, and a constraint or an
    index that a SET NOT NULL, ATTACH PARTITION or ON CONFLICT in between makes use of.
    """
    if not any(_may_undo(statement) for statement in statements):
        return ()
    story = _Story()
    for place, statement in enumerate(statements):
        story.go_on(place, statement)
    return tuple(
        _undone(entry, statements[entry.place], statements[place])
        for entry, place in story.pairs
        if not story.is_there(entry)
        and not _is_called(entry.thing, statements[entry.place + 1 : place])
    )


def _may_undo(statement: Statement) -> bool:
    may = not statement.node or statement.node in _MAY_UNDO
    return may and bool(_UNDOES.search(statement.text))


def _undone(entry: _Entry, made: Statement, gone: Statement) -> Undone:
    thing = entry.origin or entry.thing
    is_part = thing.of and thing.kind != "index"
    target = ".".join(filter(None, (thing.schema, thing.of if is_part else "", thing.name)))
    verb = Verb.UNDO if entry.origin else _VERBS.get(thing.kind, Verb.UNDO)
    return Undone(made, gone, f"{thing.kind} {target}", verb, target)


def _is_called(thing: Thing, between: Sequence[Statement]) -> bool:
    """Whether a function is a helper of statements that come before it goes."""
    if thing.kind != "function":
        return False
    name = re.compile(rf"(?<!\w){re.escape(thing.name)}(?!\w)", re.IGNORECASE)
    return any(s.node not in _DESCRIBES and name.search(s.text) for s in between)


class _Story:
    """What is there after each statement, as far as the file itself has made or renamed it."""

    def __init__(self) -> None:
        self.pairs: list[_Pair] = []
        self._there: dict[str, list[_Entry]] = defaultdict(list)  # by a part's table, or the name
        self._path: tuple[str, ...] = ()

    def go_on(self, place: int, statement: Statement) -> None:
        for node, stmt in _nodes(statement):
            if node == "variable_set_stmt" and stmt.name.lower() == "search_path":
                self._path = path_of(stmt)
            elif node == "select_stmt" and (path := path_of_select(stmt)) is not None:
                self._path = tuple(part.strip(' "') for part in path.split(",") if part.strip())
            for event in events(node, stmt):
                match event:
                    case Made(thing):
                        self._make(thing, place)
                    case Gone(thing):
                        self._take(thing, place)
                    case Renamed(old, new):
                        self._rename(old, new, place)
                    case Used(schema, table):
                        self._use(schema, table)

    def is_there(self, entry: _Entry) -> bool:
        """Whether it was made once more, or another one has its name, at the end."""
        return entry.origin is None and self._find(entry.thing) is not None

    def _make(self, thing: Thing, place: int) -> None:
        table = self._find(Thing("table", thing.schema, thing.of)) if thing.of else None
        if table and table.thing.schema == TEMPORARY:
            thing = replace(thing, schema=TEMPORARY)
        if not thing.schema and not thing.of and self._path:
            thing = replace(thing, schema=self._path[0])
        known = self._find(thing)
        if known is None or TEMPORARY in (thing.schema, known.thing.schema):
            self._add(_Entry(thing, place))

    def _take(self, thing: Thing, place: int) -> None:
        entry = self._find(thing)
        if entry is not None:
            self._there[_key(entry.thing)].remove(entry)
            if entry.origin is None and not entry.is_used and entry.thing.schema != TEMPORARY:
                self.pairs.append((entry, place))
        if thing.kind == "schema":
            self._take_all_in(thing.name, place, are_told=entry is None)
        elif thing.kind in _RELATIONS:
            self._there[thing.name] = [e for e in self._there[thing.name] if not _is_of(e, thing)]

    def _take_all_in(self, schema: str, place: int, *, are_told: bool) -> None:
        for entry in [e for entries in self._there.values() for e in entries]:
            if entry.thing.schema == schema:
                self._there[_key(entry.thing)].remove(entry)
                if are_told and entry.origin is None and not entry.thing.of:
                    self.pairs.append((entry, place))

    def _rename(self, old: Thing, new: Thing, place: int) -> None:
        entry = self._find(old) or _Entry(old, place, origin=old)
        entries = self._there[_key(entry.thing)]
        if entry in entries:
            entries.remove(entry)
        schema = new.schema or entry.thing.schema
        entry.thing = replace(entry.thing, name=new.name, schema=schema)
        if entry.origin and _place(entry.origin) == _place(new):
            self.pairs.append((entry, place))
        else:
            self._add(entry)
        if old.kind == "schema":
            for inside in (e for entries in self._there.values() for e in entries):
                if inside.thing.schema == old.name:
                    inside.thing = replace(inside.thing, schema=new.name)
        elif old.kind in _RELATIONS:
            parts = [e for e in self._there[old.name] if _is_of(e, old)]
            self._there[old.name] = [e for e in self._there[old.name] if e not in parts]
            for part in parts:
                part.thing = replace(part.thing, of=new.name, schema=new.schema)
                self._add(part)

    def _use(self, schema: str, table: str) -> None:
        used = Thing("table", schema, table)
        for entry in (e for entries in self._there.values() for e in entries):
            if entry.thing.kind in ("constraint", "index") and entry.thing.of == table:
                entry.is_used |= self._may_be_in(entry.thing, used)

    def _add(self, entry: _Entry) -> None:
        self._there[_key(entry.thing)].append(entry)

    def _find(self, thing: Thing) -> _Entry | None:
        """Return what a statement means by a name; a temporary one hides the others."""
        found = [
            entry
            for entry in self._there.get(_key(thing), ())
            if _is_alike(entry.thing, thing) and self._may_be_in(entry.thing, thing)
        ]
        return min(found, key=lambda entry: entry.thing.schema != TEMPORARY, default=None)

    def _may_be_in(self, there: Thing, named: Thing) -> bool:
        """Whether a name means what is there; one without a schema is found in the path."""
        if not there.schema or there.schema == named.schema:
            return True
        if named.schema:
            return False
        return not self._path or there.schema in (TEMPORARY, *self._path)


def _place(thing: Thing) -> tuple[str, str]:
    return (thing.schema or "public", thing.name)


def _key(thing: Thing) -> str:
    return thing.of if thing.of and thing.kind != "index" else thing.name


def _is_of(entry: _Entry, table: Thing) -> bool:
    """Whether an entry under a table's name is a part of that table."""
    thing = entry.thing
    is_part = thing.of == table.name and thing.kind != "index"
    return is_part and (thing.schema == table.schema or "" in (thing.schema, table.schema))


def _is_alike(one: Thing, other: Thing) -> bool:
    """Whether two names are names of the same kind of thing: relations share theirs."""
    is_alike = one.kind == other.kind or any(
        {one.kind, other.kind} <= {*kinds} for kinds in (_RELATIONS, _TYPES)
    )
    is_overload = -1 not in (one.arguments, other.arguments) and one.arguments != other.arguments
    return is_alike and one.name == other.name and not is_overload


def _nodes(statement: Statement) -> Iterator[tuple[str, Any]]:
    """Yield the statement's own node; nothing where it does not matter, or cannot be read."""
    is_path = statement.node == "variable_set_stmt"
    if statement.node and statement.node not in NODES and not is_path:
        return
    if statement.node == "insert_stmt" and "conflict" not in statement.text.lower():
        return
    if statement.node == "select_stmt" and not _MATTERS.search(statement.text):
        return
    try:
        raw = parse(statement.text).stmts[0].stmt
    except (postgast.PgQueryError, IndexError):
        return
    node = str(raw.WhichOneof("node"))
    yield node, getattr(raw, node)


_MATTERS = re.compile(r"\binto\b|search_path", re.IGNORECASE)
