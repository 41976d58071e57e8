"""The tables, columns, keys and enums that exist, as far as the statements so far show."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from postgast import pg_query_pb2 as pb

from predeploy.sql.outcome.story import TEMPORARY, NamedObject, Renamed, events
from predeploy.sql.parser.names import dotted
from predeploy.sql.parser.parsing import commands_of
from predeploy.sql.statement.targets import constraints

# The parser's code of ON DELETE CASCADE.
_CASCADE = "c"
Type = tuple[str, tuple[int, ...]]
"""A type's name without schema, with `[]` appended for an array, and its modifiers as written."""


@dataclass(slots=True)
class Relation:
    """A table or composite type. `before` is its name before the step; None if made in the step.

    `columns` maps names to types; it is None if not all columns are known. `were` maps columns to
    their names before the step, or to None for a column that the step has added. `keys` are the
    tables that its foreign keys refer to, each with its ON DELETE action.
    """

    schema: str
    relname: str
    columns: dict[str, Type] | None = None
    is_partition: bool = False
    parents: list["Relation"] = field(default_factory=list)
    keys: list[tuple["Relation", str]] = field(default_factory=list)
    before: str | None = None
    were: dict[str, str | None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its current name, with the schema if that is known."""
        return f"{self.schema}.{self.relname}" if self.schema else self.relname

    def has(self, column: str, *, may_be_absent: bool) -> bool:
        """Whether it has the column; if unknown, it is assumed to have one that must exist."""
        if self.columns is not None and column in self.columns:
            return True
        if any(parent.has(column, may_be_absent=True) for parent in self.parents):
            return True
        return not may_be_absent

    def column_before(self, column: str) -> str | None:
        """Return the column's name before the step; None if the step has added it."""
        return self.were.get(column, column)

    def type_of(self, column: str) -> Type:
        """Return a column's type; an empty one if unknown."""
        known = (self.columns or {}).get(column)
        return known or next((p.type_of(column) for p in self.parents), ("", ()))

    def add(self, definition: Any) -> None:
        """Add a column."""
        if self.columns is not None:
            self.columns[definition.colname] = type_of(definition.type_name)

    def drop(self, column: str) -> None:
        """Drop a column."""
        (self.columns or {}).pop(column, None)
        self.were.pop(column, None)

    def rename(self, old: str, new: str) -> None:
        """Rename a column."""
        if self.columns is not None and old in self.columns:
            self.columns[new] = self.columns.pop(old)
        self.were[new] = self.were.pop(old, old)


@dataclass(slots=True)
class _Enum:
    schema: str
    name: str
    labels: list[str]


def type_of(name: Any) -> Type:
    """Return a type as written."""
    element = name.names[-1].string.sval if name.names else ""
    modifiers = tuple(node.a_const.ival.ival for node in name.typmods)
    return element + ("[]" if name.array_bounds else ""), modifiers


class Model:
    """The tables and enums that exist so far. A schema left to the search_path is empty."""

    def __init__(self) -> None:
        """Start empty."""
        self.path: tuple[str, ...] = ()
        self._tables: list[Relation] = []
        self._enums: list[_Enum] = []
        self._labels: list[tuple[_Enum, str, tuple[str, ...]]] = []

    def begin_step(self) -> None:
        """Take the current names as those from before the step."""
        # Each step ends with DISCARD TEMP.
        self._tables = [table for table in self._tables if table.schema != TEMPORARY]
        for table in self._tables:
            table.before, table.were = table.name, {}
        self._labels = [(e, dotted(e.schema, e.name), tuple(e.labels)) for e in self._enums]
        self.path = ()

    def labels_gone(self) -> Iterator[str]:
        """Yield the labels from before the step that no enum of the same name has any more."""
        for enum, name, labels in self._labels:
            if any(enum is one for one in self._enums):
                continue
            # Tools replace an enum by a new type that takes over its name.
            heir = next((e for e in self._enums if dotted(e.schema, e.name) == name), None)
            kept = heir.labels if heir else ()
            yield from (f"{name}.{label}" for label in labels if label not in kept)

    def find(self, schema: str, name: str) -> Relation | None:
        """Return the table that a name refers to; None if no file has made one."""
        found = [t for t in self._tables if t.relname == name and _may_be(t.schema, schema)]
        likely = [schema] if schema else [TEMPORARY, *self.path]
        return next((t for t in found if t.schema in likely), found[0] if found else None)

    def unknown(self, schema: str, name: str) -> Relation:
        """Return a table that no file has made and that therefore existed before the step."""
        found = Relation(schema, name)
        found.before = found.name
        return found

    def named(self, relation: Any) -> Relation:
        """Return the table that a statement names; it must exist."""
        found = self.find(relation.schemaname, relation.relname)
        return found or self.unknown(relation.schemaname, relation.relname)

    def table(self, item: Any, *, may_be_absent: bool) -> Relation | None:
        """Return the table that a DROP names; None if unknown and allowed to be missing."""
        *schema, name = [part.string.sval for part in item.list.items]
        found = self.find("".join(schema[-1:]), name)
        if found is not None or may_be_absent:
            return found
        return self.unknown("".join(schema[-1:]), name)

    def altered(self, stmt: Any) -> Relation | None:
        """Return the table or composite type that an ALTER changes."""
        found = self.find(stmt.relation.schemaname, stmt.relation.relname)
        if found is not None or stmt.missing_ok or stmt.objtype not in _WITH_COLUMNS:
            return found
        return self.unknown(stmt.relation.schemaname, stmt.relation.relname)

    def in_schema(self, schema: str) -> list[Relation]:
        """Return the tables in a schema."""
        return [table for table in self._tables if table.schema == schema]

    def below(self, table: Relation) -> list[Relation]:
        """Return the tables that inherit from a table, partitions included, at any depth."""
        found: list[Relation] = []
        todo = [table]
        while todo:
            top = todo.pop()
            children = [t for t in self._tables if any(p is top for p in t.parents)]
            todo += children
            found += children
        return found

    def referring(self, table: Relation, *, any_action: bool) -> list[Relation]:
        """Return the tables that lose rows together with this one, through their foreign keys."""
        found: list[Relation] = []
        todo = [table]
        while todo:
            top = todo.pop()
            for one in self._tables:
                cascades = any(k is top and (any_action or a == _CASCADE) for k, a in one.keys)
                if cascades and one is not table and all(one is not f for f in found):
                    found.append(one)
                    todo.append(one)
        return found

    def of_type(self, name: str) -> list[tuple[Relation, str]]:
        """Return the columns of a user-defined type."""
        return [
            (table, column)
            for table in self._tables
            for column, (kind, _) in (table.columns or {}).items()
            if kind.removesuffix("[]") == name
        ]

    def is_enum(self, name: str) -> bool:
        """Whether a type is an enum."""
        return any(enum.name == name for enum in self._enums)

    def forget(self, table: Relation) -> None:
        """Remove a table from the model."""
        self._tables = [one for one in self._tables if one is not table]

    def drop_type(self, item: Any) -> str:
        """Remove a type from the model; return its name."""
        parts = [part.string.sval for part in item.type_name.names]
        schema, name = (str(parts[-2]) if len(parts) > 1 else "", str(parts[-1]))
        self._enums = [e for e in self._enums if not (e.name == name and _may_be(e.schema, schema))]
        return name

    def drop_types_in(self, schema: str) -> None:
        """Remove all types of a schema from the model."""
        self._enums = [enum for enum in self._enums if enum.schema != schema]

    def follow(self, node: str, stmt: Any) -> None:
        """Apply what a statement creates or changes."""
        match node:
            case "create_stmt":
                self._create(stmt)
            case "create_table_as_stmt" | "select_stmt":
                self._create_filled(node, stmt)
            case "composite_type_stmt":
                self._make(stmt.typevar, {n.column_def.colname: type_of(n.column_def.type_name)
                                          for n in stmt.coldeflist})  # fmt: skip
            case "create_enum_stmt":
                *schema, name = [part.string.sval for part in stmt.type_name]
                labels = [node.string.sval for node in stmt.vals]
                self._enums.append(_Enum("".join(schema[-1:]), name, labels))
            case "alter_enum_stmt":
                self._relabel(stmt)
            case "alter_table_stmt":
                self._alter(stmt)
            case "rename_stmt" | "alter_object_schema_stmt":
                for event in events(node, stmt):
                    if isinstance(event, Renamed):
                        self._rename(event.old, event.new)

    def _make(self, relation: Any, columns: dict[str, Type] | None) -> Relation | None:
        is_temporary = relation.relpersistence == "t"
        path = next(iter(self.path), "")
        schema = TEMPORARY if is_temporary else relation.schemaname or path
        there = (table for table in self._tables if table.relname == relation.relname)
        # A name without a schema usually means the one in public.
        if any(t.schema == schema or {t.schema, schema} <= _DEFAULT for t in there):
            return None  # IF NOT EXISTS, or an error
        made = Relation(schema, relation.relname, columns)
        self._tables.append(made)
        return made

    def _create(self, stmt: Any) -> None:
        is_partition = stmt.HasField("partbound")
        made = self._make(stmt.relation, {})
        if made is None:
            return
        made.is_partition = is_partition
        made.parents = [self.named(node.range_var) for node in stmt.inh_relations]
        for element in stmt.table_elts:
            match element.WhichOneof("node"):
                case "column_def":
                    made.add(element.column_def)
                case "table_like_clause":
                    like = self.named(element.table_like_clause.relation)
                    if made.columns is None or like.columns is None:
                        made.columns = None
                    else:
                        made.columns |= like.columns
        self._refer(made, stmt)

    def _create_filled(self, node: str, stmt: Any) -> None:
        into = "into" if node == "create_table_as_stmt" else "into_clause"
        if stmt.HasField(into):
            self._make(getattr(stmt, into).rel, None)

    def _refer(self, table: Relation, stmt: Any) -> None:
        for constraint in constraints(stmt):
            if constraint.contype == pb.CONSTR_FOREIGN:
                table.keys.append((self.named(constraint.pktable), constraint.fk_del_action))

    def _alter(self, stmt: Any) -> None:
        table = self.find(stmt.relation.schemaname, stmt.relation.relname)
        if table is None:
            return
        self._refer(table, stmt)
        for command in commands_of(stmt):
            definition = getattr(command, "def")
            match command.subtype:
                case pb.AT_DropColumn:
                    for one in (table, *self.below(table)):
                        one.drop(command.name)
                case pb.AT_AddColumn:
                    column = definition.column_def
                    if not table.has(column.colname, may_be_absent=True):
                        table.add(column)
                        table.were[column.colname] = None
                case pb.AT_AlterColumnType if table.columns is not None:
                    table.columns[command.name] = type_of(definition.column_def.type_name)
                case pb.AT_AttachPartition:
                    child = self.named(definition.partition_cmd.name)
                    child.parents, child.is_partition = [table], True
                case pb.AT_DetachPartition:
                    child = self.named(definition.partition_cmd.name)
                    child.columns = child.columns or dict(table.columns or {})
                    child.parents, child.is_partition = [], False

    def _relabel(self, stmt: Any) -> None:
        *schema, name = [part.string.sval for part in stmt.type_name]
        for enum in self._enums:
            if enum.name == name and _may_be(enum.schema, "".join(schema[-1:])):
                if stmt.old_val:
                    enum.labels = [stmt.new_val if x == stmt.old_val else x for x in enum.labels]
                elif stmt.new_val not in enum.labels:
                    enum.labels.append(stmt.new_val)

    def _rename(self, old: NamedObject, new: NamedObject) -> None:
        if old.kind == "schema":
            for table in self._tables:
                table.schema = new.name if table.schema == old.name else table.schema
            for enum in self._enums:
                enum.schema = new.name if enum.schema == old.name else enum.schema
        elif old.kind == "column":
            top = self.find(old.schema, old.of)
            for one in (top, *self.below(top)) if top else ():
                one.rename(old.name, new.name)
        elif old.kind == "type":
            for enum in self._enums:
                if enum.name == old.name and _may_be(enum.schema, old.schema):
                    enum.name, enum.schema = new.name, new.schema or enum.schema
            self._rename_table(old, new)
        elif old.kind in ("table", "materialized view"):
            self._rename_table(old, new)

    def _rename_table(self, old: NamedObject, new: NamedObject) -> None:
        table = self.find(old.schema, old.name)
        if table is not None:
            table.relname, table.schema = new.name, new.schema or table.schema


_DEFAULT = {"", "public"}
_WITH_COLUMNS = (pb.OBJECT_TABLE, pb.OBJECT_TYPE)


def _may_be(there: str, said: str) -> bool:
    """Whether a name in schema `said` may mean an object in `there`; either may be unknown."""
    return not there or not said or there == said
