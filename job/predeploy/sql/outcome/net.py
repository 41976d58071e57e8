"""The net result of files: all that they make, drop and rename, by name and kind.

Read from their text alone, in order. What a DO block, a function or dynamic SQL makes is not seen;
what a CASCADE may have dropped as well is not required to exist.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from postgast import pg_query_pb2 as pb

from predeploy.sql.outcome.story import TEMPORARY, Gone, Made, NamedObject, Renamed, events, path_of
from predeploy.sql.parser.parsing import commands_of
from predeploy.sql.parser.unparsed import UnreadableError
from predeploy.sql.script.reading import read
from predeploy.sql.statement.whitelist import path_of_select

# The catalog's names come with these kinds (`names_sql`).
_KINDS = {"foreign table": "table", "domain": "type"}
_JUDGED = frozenset((
    "table", "view", "materialized view", "column", "index", "constraint", "sequence", "type",
    "function", "trigger", "policy", "rule", "schema", "extension",
))  # fmt: skip
_RELATIONS = ("table", "view", "materialized view", "sequence", "index")
# Statements that run code which is not examined.
_UNSEEN = frozenset(("do_stmt", "call_stmt", "select_stmt", "execute_stmt"))
# Kinds that a CASCADE may drop as well. It is assumed to drop whatever mentions the dropped object.
_MAY_GO_ALONG = frozenset((
    "view", "materialized view", "column", "index", "constraint", "function", "trigger", "policy",
    "rule", "type",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class NetResult:
    """The objects that exist at the end, in the order of their creation.

    A schema left to the search_path is empty; `of` is the table that a part belongs to or that an
    index is on. `children` are the tables among them that go with their parent: partitions, and
    those that inherit. `unseen` counts the statements that may have made or dropped anything.
    """

    things: tuple[NamedObject, ...]
    children: frozenset[NamedObject]
    unseen: int


def net_result(texts: Iterable[str]) -> NetResult:
    """Read files in order. A file that cannot be read counts as unseen."""
    inventory = _Inventory()
    for text in texts:
        inventory.path = ()
        nodes: list[Any] = []
        try:
            statements = read(text, nodes).statements
        except UnreadableError:
            inventory.unseen += 1
            continue
        # The parser gave up on this file: its statements have no nodes.
        if len(nodes) != len(statements):
            inventory.unseen += len(statements)
            continue
        for statement, stmt in zip(statements, nodes, strict=True):
            inventory.apply(statement.node, stmt)
    children = (t for t, o in inventory.there.items() if o.owner and t.kind == "table")
    return NetResult(tuple(inventory.there), frozenset(children), inventory.unseen)


@dataclass(slots=True)
class _Origin:
    """The node that made an object, and the table that it inherits from or is owned by."""

    node: Any
    owner: tuple[str, str] | None = None
    _words: frozenset[str] | None = None

    @property
    def words(self) -> frozenset[str]:
        """Every word of the node, and so every name in it."""
        if self._words is None:
            self._words = frozenset(_words(self.node))
        return self._words


class _Inventory:
    """The objects that exist after each statement."""

    def __init__(self) -> None:
        self.there: dict[NamedObject, _Origin] = {}
        self._by_name: dict[str, list[NamedObject]] = defaultdict(list)
        self.unseen = 0
        self.path: tuple[str, ...] = ()
        self._temporary: set[str] = set()
        self._former: dict[str, set[str]] = defaultdict(set)  # earlier names, by current name

    def apply(self, node: str, stmt: Any) -> None:
        if node == "variable_set_stmt" and stmt.name.lower() == "search_path":
            self.path = path_of(stmt)
        elif node == "select_stmt" and (path := path_of_select(stmt)) is not None:
            self.path = tuple(part.strip(' "') for part in path.split(",") if part.strip(' "'))
        elif node in _UNSEEN and not _fills(node, stmt):
            self.unseen += 1
        elif node in ("create_seq_stmt", "alter_seq_stmt"):
            self._sequence(node, stmt)
        elif not self._is_skipped(node, stmt):
            self._follow(node, stmt)

    def _follow(self, node: str, stmt: Any) -> None:
        for event in events(node, stmt):
            match event:
                case Made(thing) if not _is_named_by_server(node, stmt, thing):
                    self._make(thing, _maker(stmt, thing))
                case Gone(thing):
                    self._take(thing, is_cascade=_cascades(stmt))
                case Renamed(old, new):
                    self._rename(old, new)
        if node in ("create_stmt", "create_foreign_table_stmt"):
            self._table(stmt if node == "create_stmt" else stmt.base_stmt)
        elif node == "alter_table_stmt":
            self._alter(stmt)
        elif node == "create_schema_stmt":
            self._schema(stmt)

    def _is_skipped(self, node: str, stmt: Any) -> bool:
        """Whether IF NOT EXISTS skips a table that was made before, with all its columns."""
        if node not in ("create_stmt", "create_foreign_table_stmt"):
            return False
        table = stmt if node == "create_stmt" else stmt.base_stmt
        named = NamedObject("table", table.relation.schemaname, table.relation.relname)
        return bool(table.if_not_exists and self._matching(named))

    def _table(self, stmt: Any) -> None:
        if stmt.relation.relpersistence == "t":
            return
        for element in stmt.table_elts:
            match element.WhichOneof("node"):
                case "column_def":
                    self._column(stmt.relation, element.column_def)
                case "constraint" if element.constraint.conname:
                    self._part("constraint", stmt.relation, element.constraint.conname, element)
        if stmt.inh_relations:  # a parent is dropped only with its children
            parent = stmt.inh_relations[0].range_var
            self._own(stmt.relation, (parent.schemaname, parent.relname))

    def _column(self, relation: Any, column: Any) -> None:
        self._part("column", relation, column.colname, column)
        for constraint in (n.constraint for n in column.constraints):
            if constraint.conname:
                self._part("constraint", relation, constraint.conname, column)

    def _alter(self, stmt: Any) -> None:
        for command in commands_of(stmt):
            definition = getattr(command, "def")
            if command.subtype == pb.AT_AddColumn:
                self._column(stmt.relation, definition.column_def)
            elif command.subtype == pb.AT_AddConstraint and definition.constraint.indexname:
                index = definition.constraint.indexname  # the index now has the constraint's name
                self._take(NamedObject("index", stmt.relation.schemaname, index), is_cascade=False)
            elif command.subtype in (pb.AT_AttachPartition, pb.AT_DetachPartition):
                is_attached = command.subtype == pb.AT_AttachPartition
                parent = (stmt.relation.schemaname, stmt.relation.relname)
                self._own(definition.partition_cmd.name, parent if is_attached else None)

    def _sequence(self, node: str, stmt: Any) -> None:
        if node == "create_seq_stmt":
            self._follow(node, stmt)
        for option in (n.def_elem for n in stmt.options if n.def_elem.defname == "owned_by"):
            names = [n.string.sval for n in option.arg.list.items]
            owner = (names[-3] if names[2:] else "", names[-2]) if names[1:] else None
            self._own(stmt.sequence, owner, "sequence")

    def _schema(self, stmt: Any) -> None:
        """Apply the elements of a CREATE SCHEMA."""
        before, self.path = self.path, (stmt.schemaname,)
        for element in stmt.schema_elts:
            node = str(element.WhichOneof("node"))
            self.apply(node, getattr(element, node))
        self.path = before

    def _own(self, relation: Any, owner: tuple[str, str] | None, kind: str = "table") -> None:
        for thing in self._matching(NamedObject(kind, relation.schemaname, relation.relname)):
            self.there[thing].owner = owner

    def _part(self, kind: str, relation: Any, name: str, node: Any) -> None:
        self._make(NamedObject(kind, relation.schemaname, name, relation.relname), node)

    def _make(self, thing: NamedObject, node: Any) -> None:
        thing = _bare(thing)
        if thing.schema == TEMPORARY and not thing.of:
            self._temporary.add(thing.name)
        is_ours = thing.kind in _JUDGED and thing.name  # CREATE SCHEMA AUTHORIZATION gives no name
        if not is_ours or thing.schema == TEMPORARY or self._is_temporary(thing):
            return
        if not thing.schema and thing.kind not in ("schema", "extension"):
            homes = self._matching(NamedObject("table", "", thing.of)) if thing.of else ()
            schema = homes[0].schema if homes else next(iter(self.path), "")
            thing = replace(thing, schema=schema)
        known = self._matching(thing)
        if any(other.kind != thing.kind for other in known):  # an unseen statement has dropped it
            self._forget(lambda other: other in known)
        if all(other.kind != thing.kind for other in known):
            self._put(thing, _Origin(node))

    def _is_temporary(self, thing: NamedObject) -> bool:
        return bool(thing.of and not thing.schema and thing.of in self._temporary)

    def _take(self, thing: NamedObject, *, is_cascade: bool) -> None:
        thing = _bare(thing)
        gone = self._matching(thing)
        for one in gone:
            self._pop(one)
            self._take_parts(one)
        if thing.kind == "schema":
            self._forget(lambda other: other.schema == thing.name)
        if is_cascade:
            self._take_along(thing)

    def _take_parts(self, gone: NamedObject) -> None:
        if gone.kind in ("index", "constraint"):
            self._forget(lambda t: t.kind in ("index", "constraint") and _is_twin(t, gone))
        elif gone.kind == "column":
            self._forget(
                lambda t: (
                    t.kind in ("index", "constraint")
                    and (t.schema, t.of) == (gone.schema, gone.of)
                    and self._mentions(t, gone.name)
                )
            )
        elif gone.kind in _RELATIONS:
            self._forget(lambda t: bool(t.of) and (t.schema, t.of) == (gone.schema, gone.name))
            for owned in [t for t, o in self.there.items() if _owns(o.owner, gone)]:
                # It may have gone with another one in the meantime.
                if owned in self.there:
                    self._pop(owned)
                    self._take_parts(owned)

    def _take_along(self, gone: NamedObject) -> None:
        for thing in [t for t in self.there if t.kind in _MAY_GO_ALONG]:
            if thing in self.there and self._mentions(thing, gone.name):
                self._pop(thing)
                self._take_parts(thing)
                self._take_along(thing)

    def _put(self, thing: NamedObject, origin: _Origin) -> None:
        self.there[thing] = origin
        self._by_name[thing.name].append(thing)

    def _pop(self, thing: NamedObject) -> _Origin:
        self._by_name[thing.name].remove(thing)
        return self.there.pop(thing)

    def _forget(self, is_gone: Callable[[NamedObject], bool]) -> None:
        for thing in [t for t in self.there if is_gone(t)]:
            self._pop(thing)

    def _mentions(self, thing: NamedObject, name: str) -> bool:
        # A node has the names from when it was read, so earlier names count, too.
        return bool(self.there[thing].words & {name, *self._former.get(name, ())})

    def _rename(self, old: NamedObject, new: NamedObject) -> None:
        old, new = _bare(old), _bare(new)
        if old.name != new.name:
            self._former[new.name] |= {old.name, *self._former.get(old.name, ())}
        for thing in self._matching(old):
            schema = new.schema if new.schema and not new.of else thing.schema
            self._move(thing, replace(thing, name=new.name, schema=schema))
        if old.kind == "schema":
            for inside in [t for t in self.there if t.schema == old.name]:
                self._put(replace(inside, schema=new.name), self._pop(inside))
            for origin in self.there.values():
                if origin.owner and origin.owner[0] == old.name:
                    origin.owner = (new.name, origin.owner[1])

    def _move(self, thing: NamedObject, renamed: NamedObject) -> None:
        """Rename an object; the parts of a relation move to its new name."""
        self._put(renamed, self._pop(thing))
        if thing.kind in ("index", "constraint"):
            for twin in [t for t in self.there if _is_twin(t, thing)]:
                self._put(replace(twin, name=renamed.name), self._pop(twin))
        elif thing.kind in _RELATIONS:
            for part in [t for t in self.there if t.of and _place(t) == _home(thing)]:
                self._put(replace(part, of=renamed.name, schema=renamed.schema), self._pop(part))
            for other in self.there.values():
                if _owns(other.owner, thing):
                    other.owner = _home(renamed)

    def _matching(self, named: NamedObject) -> list[NamedObject]:
        """Return the objects that a name may refer to, in any schema that it may be in."""
        return [thing for thing in self._by_name.get(named.name, ()) if _means(named, thing)]


def _bare(thing: NamedObject) -> NamedObject:
    """Reduce an object to the kind by which the catalog distinguishes it, and its name."""
    kind = _KINDS.get(thing.kind, thing.kind)
    return NamedObject(kind, thing.schema, thing.name, thing.of)


def _means(named: NamedObject, thing: NamedObject) -> bool:
    if named.name != thing.name or (named.of and thing.of and named.of != thing.of):
        return False
    if named.kind != thing.kind and not {named.kind, thing.kind} <= {*_RELATIONS}:
        return False  # but ALTER TABLE may mean any relation
    return not named.schema or not thing.schema or named.schema == thing.schema


def _is_twin(thing: NamedObject, other: NamedObject) -> bool:
    """Whether one is a constraint and the other the index behind it."""
    same = (thing.schema, thing.of, thing.name) == (other.schema, other.of, other.name)
    return same and {thing.kind, other.kind} == {"index", "constraint"}


def _place(part: NamedObject) -> tuple[str, str]:
    return (part.schema, part.of)


def _home(relation: NamedObject) -> tuple[str, str]:
    return (relation.schema, relation.name)


def _owns(owner: tuple[str, str] | None, relation: NamedObject) -> bool:
    if owner is None or owner[1] != relation.name:
        return False
    return "" in (owner[0], relation.schema) or owner[0] == relation.schema


def _fills(node: str, stmt: Any) -> bool:
    return node == "select_stmt" and bool(stmt.HasField("into_clause"))


def _is_named_by_server(node: str, stmt: Any, thing: NamedObject) -> bool:
    """Whether the file gives no name: the server chooses another one if the default is taken."""
    if node == "index_stmt":
        return not stmt.idxname
    if node == "alter_table_stmt" and thing.kind == "constraint":
        definitions = (getattr(n.alter_table_cmd, "def") for n in stmt.cmds)
        return thing.name not in {d.constraint.conname for d in definitions}
    return False


def _maker(stmt: Any, thing: NamedObject) -> Any:
    """Return the part of a statement that defines the object."""
    if isinstance(stmt, pb.AlterTableStmt) and thing.kind == "constraint":
        definitions = (getattr(n.alter_table_cmd, "def") for n in stmt.cmds)
        return next((d for d in definitions if d.constraint.conname == thing.name), stmt)
    return stmt


def _cascades(stmt: Any) -> bool:
    if isinstance(stmt, pb.AlterTableStmt):
        return any(n.alter_table_cmd.behavior == pb.DROP_CASCADE for n in stmt.cmds)
    return bool(stmt.behavior == pb.DROP_CASCADE)


def _words(tree: Any) -> Iterator[str]:
    todo = [tree]
    while todo:
        for field, value in todo.pop().ListFields():
            if isinstance(value, str):
                yield value
            elif field.message_type is not None:
                todo.extend([value] if hasattr(value, "ListFields") else value)
