"""What a file makes and removes again, so that nothing is left: an undo section.

Each tool marks such a section with its own comment, and people use others. The statements show it
regardless of the comment.
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
    NamedObject,
    Renamed,
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
# A cheap test of the text, before anything is parsed.
_UNDOES = re.compile(r"\b(drop|rename|disable|force|set\s+schema)\b", re.IGNORECASE)
# Statements that mention a function without calling it.
_DESCRIBES = frozenset((
    "comment_stmt", "grant_stmt", "alter_function_stmt", "alter_owner_stmt",
    "alter_object_schema_stmt", "alter_object_depends_stmt", "drop_stmt",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Undone:
    """An object that one statement made or renamed, and another one dropped or renamed back.

    `what` is for people (`table users`); a file declares it as intended by `verb` and `target`.
    `target` has no schema if no statement names one.
    """

    made: Statement
    gone: Statement
    what: str
    verb: Verb
    target: str

    def is_meant_by(self, verb: str, target: str) -> bool:
        """Whether `allow VERB TARGET` covers it; TARGET may add a schema that the file omits."""
        known = (self.target, self.target.removeprefix("public."))
        return verb == self.verb.value and (target in known or target.endswith(f".{self.target}"))


@dataclass(slots=True)
class _Entry:
    """An object that exists, and the statement that made it; `origin` is set if it was renamed."""

    thing: NamedObject
    place: int
    origin: NamedObject | None = None
    is_used: bool = False


_Pair = tuple[_Entry, int]


def undone(statements: Sequence[Statement]) -> tuple[Undone, ...]:
    """Return what the statements of one file undo, in the order of the undoing.

    Helpers are not reported: temporary objects, a function that is called in between, and a
    constraint or index that a SET NOT NULL, ATTACH PARTITION or ON CONFLICT in between relies on.
    """
    if not any(_may_undo(statement) for statement in statements):
        return ()
    story = _Story()
    for place, statement in enumerate(statements):
        story.apply(place, statement)
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


def _is_called(thing: NamedObject, between: Sequence[Statement]) -> bool:
    """Whether a function is a helper, called by statements before it is dropped."""
    if thing.kind != "function":
        return False
    name = re.compile(rf"(?<!\w){re.escape(thing.name)}(?!\w)", re.IGNORECASE)
    return any(s.node not in _DESCRIBES and name.search(s.text) for s in between)


class _Story:
    """The objects that exist after each statement, as far as the file has made or renamed them."""

    def __init__(self) -> None:
        self.pairs: list[_Pair] = []
        self._there: dict[str, list[_Entry]] = defaultdict(list)  # by a part's table, or by name
        self._path: tuple[str, ...] = ()

    def apply(self, place: int, statement: Statement) -> None:
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
        """Whether, at the end, it was made again or another object has its name."""
        return entry.origin is None and self._find(entry.thing) is not None

    def _make(self, thing: NamedObject, place: int) -> None:
        table = self._find(NamedObject("table", thing.schema, thing.of)) if thing.of else None
        if table and table.thing.schema == TEMPORARY:
            thing = replace(thing, schema=TEMPORARY)
        if not thing.schema and not thing.of and self._path:
            thing = replace(thing, schema=self._path[0])
        known = self._find(thing)
        if known is None or TEMPORARY in (thing.schema, known.thing.schema):
            self._add(_Entry(thing, place))

    def _take(self, thing: NamedObject, place: int) -> None:
        entry = self._find(thing)
        if entry is not None:
            self._there[_key(entry.thing)].remove(entry)
            if entry.origin is None and not entry.is_used and entry.thing.schema != TEMPORARY:
                self.pairs.append((entry, place))
        if thing.kind == "schema":
            # If the file made the schema, reporting that is enough.
            self._take_all_in(thing.name, place, are_told=entry is None)
        elif thing.kind in _RELATIONS:
            self._there[thing.name] = [e for e in self._there[thing.name] if not _is_of(e, thing)]

    def _take_all_in(self, schema: str, place: int, *, are_told: bool) -> None:
        for entry in [e for entries in self._there.values() for e in entries]:
            if entry.thing.schema == schema:
                self._there[_key(entry.thing)].remove(entry)
                if are_told and entry.origin is None and not entry.thing.of:
                    self.pairs.append((entry, place))

    def _rename(self, old: NamedObject, new: NamedObject, place: int) -> None:
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
        used = NamedObject("table", schema, table)
        for entry in (e for entries in self._there.values() for e in entries):
            if entry.thing.kind in ("constraint", "index") and entry.thing.of == table:
                entry.is_used |= self._may_be_in(entry.thing, used)

    def _add(self, entry: _Entry) -> None:
        self._there[_key(entry.thing)].append(entry)

    def _find(self, thing: NamedObject) -> _Entry | None:
        """Return the entry that a statement's name refers to; a temporary object hides others."""
        found = [
            entry
            for entry in self._there.get(_key(thing), ())
            if _is_alike(entry.thing, thing) and self._may_be_in(entry.thing, thing)
        ]
        return min(found, key=lambda entry: entry.thing.schema != TEMPORARY, default=None)

    def _may_be_in(self, there: NamedObject, named: NamedObject) -> bool:
        """Whether a name may mean an existing object; without schema it uses the search_path."""
        if not there.schema or there.schema == named.schema:
            return True
        if named.schema:
            return False
        return not self._path or there.schema in (TEMPORARY, *self._path)


def _place(thing: NamedObject) -> tuple[str, str]:
    return (thing.schema or "public", thing.name)


def _key(thing: NamedObject) -> str:
    return thing.of if thing.of and thing.kind != "index" else thing.name


def _is_of(entry: _Entry, table: NamedObject) -> bool:
    """Whether an entry filed under a table's name is a part of that table."""
    thing = entry.thing
    is_part = thing.of == table.name and thing.kind != "index"
    return is_part and (thing.schema == table.schema or "" in (thing.schema, table.schema))


def _is_alike(one: NamedObject, other: NamedObject) -> bool:
    """Whether two names may refer to the same object: all relations share one namespace."""
    is_alike = one.kind == other.kind or any(
        {one.kind, other.kind} <= {*kinds} for kinds in (_RELATIONS, _TYPES)
    )
    is_overload = -1 not in (one.arguments, other.arguments) and one.arguments != other.arguments
    return is_alike and one.name == other.name and not is_overload


def _nodes(statement: Statement) -> Iterator[tuple[str, Any]]:
    """Yield the statement's own node; nothing if it is irrelevant or cannot be parsed."""
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
