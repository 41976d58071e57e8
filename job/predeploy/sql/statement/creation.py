"""What a statement creates, to distinguish a duplicate from a conflict.

A statement whose object already exists is skipped only if the catalog proves that it is the same.
The proof is a *probe*: SQL that creates the same object next to an empty copy of its table, in a
savepoint that is rolled back, so that PostgreSQL itself prints both definitions.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import postgast
from postgast import pg_query_pb2 as pb

from predeploy.contract.quoting import identifier
from predeploy.contract.statement import Address, Creatable, Statement
from predeploy.sql.parser.names import relation_sql
from predeploy.sql.parser.parsing import commands_of, parse

PROBE = "predeploy_probe"
PROBE_PART = "predeploy_probe_part"
"""The names that a probe uses: PROBE for its relation, this for its constraint or index."""

_DUPLICATE_TABLE = "42P07"
_DUPLICATE_OBJECT = "42710"
_SECOND_PRIMARY_KEY = "42P16"  # raised even if it is the same key
_CODES = {
    Creatable.TABLE: (_DUPLICATE_TABLE,),
    Creatable.INDEX: (_DUPLICATE_TABLE,),
    Creatable.SEQUENCE: (_DUPLICATE_TABLE,),
    Creatable.TYPE: (_DUPLICATE_TABLE, _DUPLICATE_OBJECT),
    Creatable.CONSTRAINT: (_DUPLICATE_TABLE, _DUPLICATE_OBJECT, _SECOND_PRIMARY_KEY),
    Creatable.COLUMN: ("42701",),
}
_UNDEFINED_COLUMN = "42703"
_TEMPORARY = "t"
_NODES = frozenset((
    "create_stmt", "index_stmt", "create_seq_stmt", "alter_table_stmt", "rename_stmt",
    "create_enum_stmt", "composite_type_stmt", "create_range_stmt", "create_table_as_stmt",
    "create_foreign_table_stmt",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Creation:
    """An object to be created, and SQL that creates the same next to an empty copy of its table.

    A partition has a `parent` instead, as SQL names it: the copy could not be attached.
    """

    address: Address
    probe: str
    parent: str = ""

    @property
    def home(self) -> str:
        """The relation that it belongs to, or itself, as SQL names it."""
        return identifier(*filter(None, (self.address.schema, self.address.relation)))

    @property
    def tolerated(self) -> tuple[str, ...]:
        """The SQLSTATEs with which PostgreSQL reports that it already exists."""
        return _CODES[self.address.kind]


@dataclass(frozen=True, slots=True)
class ColumnRemoval:
    """A column to be removed: dropped, or renamed to `successor`."""

    home: str
    column: str
    successor: str = ""

    @property
    def tolerated(self) -> tuple[str, ...]:
        """The SQLSTATE with which PostgreSQL reports that it no longer exists."""
        return (_UNDEFINED_COLUMN,)


def creates(node: str, stmt: Any) -> tuple[Address, ...]:
    """Return the tables, columns, constraints, indexes, sequences and types that it creates.

    Objects without a name yet and temporary ones are left out.
    """
    found: list[Address | None] = []
    match node:
        case "create_stmt" if stmt.relation.relpersistence != _TEMPORARY:
            found = [_self(Creatable.TABLE, stmt.relation, is_guarded=stmt.if_not_exists)]
        case "create_table_as_stmt" | "create_foreign_table_stmt":
            about = _only_guarded(node, stmt, "")
            found = [about.address if about else None]
        case "create_seq_stmt" if stmt.sequence.relpersistence != _TEMPORARY:
            found = [_self(Creatable.SEQUENCE, stmt.sequence, is_guarded=stmt.if_not_exists)]
        case "index_stmt" if stmt.idxname:
            found = [_index_address(stmt)]
        case "composite_type_stmt":
            found = [_self(Creatable.TYPE, stmt.typevar)]
        case "create_enum_stmt" | "create_range_stmt":
            found = [_type_address(stmt)]
        case "alter_table_stmt" if stmt.objtype == pb.OBJECT_TABLE:
            found = [_added(stmt, command) for command in commands_of(stmt)]
    return tuple(address for address in found if address)


def removes(node: str, stmt: Any) -> tuple[Address, ...]:
    """Return the columns that a statement drops or renames, and that must exist for that."""
    if node == "rename_stmt" and stmt.rename_type == pb.OBJECT_COLUMN:
        return (_part(Creatable.COLUMN, stmt.relation, stmt.subname),)
    if node != "alter_table_stmt" or stmt.objtype != pb.OBJECT_TABLE:
        return ()
    return tuple(
        _part(Creatable.COLUMN, stmt.relation, command.name)
        for command in commands_of(stmt)
        if command.subtype == pb.AT_DropColumn and not command.missing_ok
    )


def abouts(statement: Statement, probe_schema: str) -> tuple[Creation | ColumnRemoval | None, ...]:
    """Return the objects that a statement is about; None stands for one that cannot be judged.

    An ALTER TABLE that only adds columns and constraints is about each of them. No other is split:
    within one statement PostgreSQL drops before it adds.
    """
    if statement.node and statement.node not in _NODES:
        return (None,)
    try:
        node, stmt = _parsed(statement)
    except postgast.PgQueryError:
        return (None,)
    if node != "alter_table_stmt":
        return (_about(node, stmt, probe_schema),)
    commands = commands_of(stmt)
    only_adds = all(c.subtype in (pb.AT_AddColumn, pb.AT_AddConstraint) for c in commands)
    if len(commands) > 1 and not only_adds:
        return (None,)
    return tuple(_about_command(stmt, command, probe_schema) for command in commands)


def without(statement: Statement, done: Collection[int]) -> str:
    """Return the text of an ALTER TABLE without those of its commands that are done."""
    _, stmt = _parsed(statement)
    rest = [node for number, node in enumerate(stmt.cmds) if number not in done]
    kept = pb.AlterTableStmt()
    kept.CopyFrom(stmt)
    del kept.cmds[:]
    kept.cmds.extend(rest)
    return _deparse("alter_table_stmt", kept)


def tolerates(statement: Statement, sqlstate: str) -> bool:
    """Whether the error means that the statement, run in pieces, may already have been done."""
    return any(sqlstate in about.tolerated for about in abouts(statement, "") if about)


def _parsed(statement: Statement) -> tuple[str, Any]:
    raw = parse(statement.text).stmts[0].stmt
    node = raw.WhichOneof("node")
    return node, getattr(raw, node)


def _about(node: str, stmt: Any, probe_schema: str) -> Creation | ColumnRemoval | None:
    found: Creation | ColumnRemoval | None = None
    match node:
        case "create_stmt":
            found = _table(stmt, probe_schema)
        case "create_table_as_stmt" | "create_foreign_table_stmt":
            found = _only_guarded(node, stmt, probe_schema)
        case "index_stmt" if stmt.idxname:
            found = _index(stmt, probe_schema)
        case "create_seq_stmt" if stmt.sequence.relpersistence != _TEMPORARY:
            found = _sequence(stmt, probe_schema)
        case "create_enum_stmt" | "create_range_stmt" | "composite_type_stmt":
            found = _type(node, stmt, probe_schema)
        case "rename_stmt" if stmt.rename_type == pb.OBJECT_COLUMN:
            found = ColumnRemoval(relation_sql(stmt.relation), stmt.subname, stmt.newname)
    return found


def _about_command(stmt: Any, command: Any, probe_schema: str) -> Creation | ColumnRemoval | None:
    if stmt.objtype != pb.OBJECT_TABLE:
        return None
    match command.subtype:
        case pb.AT_AddColumn:
            return _column(stmt.relation, command, probe_schema)
        case pb.AT_AddConstraint:
            return _constraint(stmt, command, probe_schema)
        case pb.AT_DropColumn:
            return ColumnRemoval(relation_sql(stmt.relation), command.name)
    return None


def _table(stmt: Any, probe_schema: str) -> Creation | None:
    """Return a table of named columns; None for a temporary one.

    With IF NOT EXISTS a partition counts as existing if it has the same parent; without it, it is
    never skipped.
    """
    if stmt.relation.relpersistence == _TEMPORARY:
        return None
    address = _self(Creatable.TABLE, stmt.relation, is_guarded=stmt.if_not_exists)
    if stmt.HasField("partbound"):
        parent = relation_sql(stmt.inh_relations[0].range_var)
        return Creation(address, "", parent) if stmt.if_not_exists else None
    return Creation(address, _create_table(_bare_table(stmt), probe_schema))


def _bare_table(stmt: Any) -> Any:
    """Keep the parts of a table that its columns' types depend on."""
    bare = pb.CreateStmt()
    for element in stmt.table_elts:
        match element.WhichOneof("node"):
            case "column_def":
                _bare_column(bare.table_elts.add().column_def, element.column_def)
            case "table_like_clause":
                bare.table_elts.add().table_like_clause.relation.CopyFrom(
                    element.table_like_clause.relation
                )
    bare.inh_relations.extend(stmt.inh_relations)
    if stmt.HasField("of_typename"):
        bare.of_typename.CopyFrom(stmt.of_typename)
    if stmt.HasField("partspec"):
        bare.partspec.CopyFrom(stmt.partspec)
    return bare


def _only_guarded(node: str, stmt: Any, probe_schema: str) -> Creation | None:
    """Return a table filled by a query or foreign server, if IF NOT EXISTS may skip it.

    Without that clause a duplicate is never skipped: its contents are not the same.
    """
    probe = type(stmt)()
    probe.CopyFrom(stmt)
    if node == "create_table_as_stmt":
        made, relation = stmt, stmt.into.rel
        probe.if_not_exists, probe.into.skip_data = False, True
        probe.into.rel.schemaname, probe.into.rel.relname = probe_schema, PROBE
    else:
        made, relation = stmt.base_stmt, stmt.base_stmt.relation
        probe.base_stmt.CopyFrom(_bare_table(made))
        probe.base_stmt.relation.schemaname, probe.base_stmt.relation.relname = probe_schema, PROBE
        probe.base_stmt.relation.inh, probe.base_stmt.relation.relpersistence = True, "p"
        probe.base_stmt.oncommit = pb.ONCOMMIT_NOOP
    if not made.if_not_exists or relation.relpersistence == _TEMPORARY:
        return None
    address = _self(Creatable.TABLE, relation, is_guarded=True)
    return Creation(address, _deparse(node, probe))


def _column(relation: Any, command: Any, probe_schema: str) -> Creation:
    definition = _definition(command)
    address = _column_address(relation, command)
    bare = pb.CreateStmt()
    _bare_column(bare.table_elts.add().column_def, definition)
    return Creation(address, _create_table(bare, probe_schema))


def _constraint(stmt: Any, command: Any, probe_schema: str) -> Creation | None:
    address = _added(stmt, command)
    if address is None:
        return None
    probe = pb.AlterTableStmt()
    probe.CopyFrom(stmt)
    del probe.cmds[:]
    probe.relation.schemaname, probe.relation.relname = probe_schema, PROBE
    probe.cmds.add().alter_table_cmd.CopyFrom(command)
    getattr(probe.cmds[0].alter_table_cmd, "def").constraint.conname = PROBE_PART
    _unqualify(probe, stmt.relation.relname)
    return Creation(address, _deparse("alter_table_stmt", probe))


def _index(stmt: Any, probe_schema: str) -> Creation:
    address = _index_address(stmt)
    _unqualify(stmt, stmt.relation.relname)
    stmt.concurrent = stmt.if_not_exists = False
    stmt.idxname = PROBE_PART
    stmt.relation.schemaname, stmt.relation.relname = probe_schema, PROBE
    return Creation(address, _deparse("index_stmt", stmt))


def _sequence(stmt: Any, probe_schema: str) -> Creation:
    address = _self(Creatable.SEQUENCE, stmt.sequence, is_guarded=stmt.if_not_exists)
    owned = [o for o in stmt.options if o.def_elem.defname == "owned_by"]
    for option in owned:  # it would have to be in its owner's schema
        stmt.options.remove(option)
    stmt.if_not_exists = False
    stmt.sequence.schemaname, stmt.sequence.relname = probe_schema, PROBE
    return Creation(address, _deparse("create_seq_stmt", stmt))


def _added(stmt: Any, command: Any) -> Address | None:
    """Return the column or named constraint that an ALTER TABLE command adds."""
    if command.subtype == pb.AT_AddColumn:
        return _column_address(stmt.relation, command)
    if command.subtype != pb.AT_AddConstraint:
        return None
    constraint = getattr(command, "def").constraint
    if not constraint.conname or constraint.indexname:
        return None
    return _part(Creatable.CONSTRAINT, stmt.relation, constraint.conname)


def _index_address(stmt: Any) -> Address:
    return _part(Creatable.INDEX, stmt.relation, stmt.idxname, is_guarded=stmt.if_not_exists)


def _column_address(relation: Any, command: Any) -> Address:
    name = _definition(command).colname
    return _part(Creatable.COLUMN, relation, name, is_guarded=command.missing_ok)


def _type_address(stmt: Any) -> Address:
    *schema, name = [item.string.sval for item in stmt.type_name]
    return Address(Creatable.TYPE, "".join(schema[-1:]), name, name)


def _type(node: str, stmt: Any, probe_schema: str) -> Creation:
    if node == "composite_type_stmt":
        address = _self(Creatable.TYPE, stmt.typevar)
        stmt.typevar.schemaname, stmt.typevar.relname = probe_schema, PROBE
        return Creation(address, _deparse(node, stmt))
    address = _type_address(stmt)
    del stmt.type_name[:]
    for part in (probe_schema, PROBE):
        stmt.type_name.add().string.sval = part
    return Creation(address, _deparse(node, stmt))


def _bare_column(bare: Any, definition: Any) -> None:
    """Copy a column's name and type."""
    bare.colname, bare.is_local = definition.colname, True
    bare.type_name.CopyFrom(definition.type_name)


def _unqualify(tree: Any, table: str) -> None:
    """Remove the table's name from `t.a`, as the probe has another; Drizzle writes it this way."""
    for _, value in tree.ListFields():
        if isinstance(value, str | bytes | bool | int | float):
            continue
        for child in (value,) if hasattr(value, "ListFields") else value:
            if not isinstance(child, pb.ColumnRef):
                _unqualify(child, table)
            elif len(child.fields) > 1 and child.fields[-2].string.sval == table:
                del child.fields[:-1]


def _create_table(bare: Any, probe_schema: str) -> str:
    bare.relation.schemaname, bare.relation.relname = probe_schema, PROBE
    bare.relation.inh, bare.relation.relpersistence = True, "p"
    bare.oncommit = pb.ONCOMMIT_NOOP
    return _deparse("create_stmt", bare)


def _deparse(node: str, stmt: Any) -> str:
    tree = pb.ParseResult()
    getattr(tree.stmts.add().stmt, node).CopyFrom(stmt)
    return postgast.deparse(tree)


def _definition(command: Any) -> Any:
    return getattr(command, "def").column_def


def _self(kind: Creatable, relation: Any, *, is_guarded: bool = False) -> Address:
    name = relation.relname
    return Address(kind, relation.schemaname, name, name, is_guarded)


def _part(kind: Creatable, relation: Any, name: str, *, is_guarded: bool = False) -> Address:
    return Address(kind, relation.schemaname, relation.relname, name, is_guarded)
