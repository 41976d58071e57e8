"""What statements make, drop and rename, by name, in file order.

Names are as in the catalog; a schema left to the search_path is empty. What a DO block or a
function does is not seen.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from postgast import pg_query_pb2 as pb

from predeploy.sql.statement.targets import made as made_in_schema

TEMPORARY = "pg_temp"


@dataclass(frozen=True, slots=True)
class NamedObject:
    """An object with a name. `of` is the table that it belongs to or, for an index, is on.

    `arguments` is a function's number of arguments; -1 stands for any number.
    """

    kind: str
    schema: str
    name: str
    of: str = ""
    arguments: int = -1


@dataclass(frozen=True, slots=True)
class Made:
    """A statement has created it."""

    thing: NamedObject


@dataclass(frozen=True, slots=True)
class Gone:
    """A statement has dropped it."""

    thing: NamedObject


@dataclass(frozen=True, slots=True)
class Renamed:
    """A statement has renamed it or moved it to another schema."""

    old: NamedObject
    new: NamedObject


@dataclass(frozen=True, slots=True)
class Used:
    """A statement relies on the constraints and unique indexes that a table has by then."""

    schema: str
    table: str


Event = Made | Gone | Renamed | Used

# Kinds with a name in a schema or in the database, by the parser's object type.
_KINDS = {
    pb.OBJECT_TABLE: "table",
    pb.OBJECT_FOREIGN_TABLE: "foreign table",
    pb.OBJECT_VIEW: "view",
    pb.OBJECT_MATVIEW: "materialized view",
    pb.OBJECT_INDEX: "index",
    pb.OBJECT_SEQUENCE: "sequence",
    pb.OBJECT_TYPE: "type",
    pb.OBJECT_DOMAIN: "domain",
    pb.OBJECT_FUNCTION: "function",
    pb.OBJECT_PROCEDURE: "function",
    pb.OBJECT_ROUTINE: "function",
    pb.OBJECT_STATISTIC_EXT: "statistics",
    pb.OBJECT_COLLATION: "collation",
    pb.OBJECT_SCHEMA: "schema",
    pb.OBJECT_EXTENSION: "extension",
    pb.OBJECT_PUBLICATION: "publication",
    pb.OBJECT_EVENT_TRIGGER: "event trigger",
    pb.OBJECT_FOREIGN_SERVER: "server",
}
_PARTS = {
    pb.OBJECT_COLUMN: "column",
    pb.OBJECT_TABCONSTRAINT: "constraint",
    pb.OBJECT_TRIGGER: "trigger",
    pb.OBJECT_POLICY: "policy",
    pb.OBJECT_RULE: "rule",
}
# What a statement of this node creates in a schema.
_IN_SCHEMA = {
    "create_stmt": "table",
    "create_foreign_table_stmt": "foreign table",
    "view_stmt": "view",
    "create_seq_stmt": "sequence",
    "composite_type_stmt": "type",
    "create_enum_stmt": "type",
    "create_range_stmt": "type",
    "create_domain_stmt": "domain",
    "create_function_stmt": "function",
    "create_stats_stmt": "statistics",
}
_DEFINED = {pb.OBJECT_TYPE: "type", pb.OBJECT_COLLATION: "collation"}
# What a statement of this node creates in the database: the kind, and the field with its name.
_IN_DATABASE = {
    "create_schema_stmt": ("schema", "schemaname"),
    "create_extension_stmt": ("extension", "extname"),
    "create_publication_stmt": ("publication", "pubname"),
    "create_event_trig_stmt": ("event trigger", "trigname"),
    "create_foreign_server_stmt": ("server", "servername"),
    "create_role_stmt": ("role", "role"),
}
# What a statement of this node creates on a table: the kind, and the fields with the name and the
# table.
_OF_A_TABLE = {
    "create_trig_stmt": ("trigger", "trigname", "relation"),
    "create_policy_stmt": ("policy", "policy_name", "table"),
    "rule_stmt": ("rule", "rulename", "relation"),
    "index_stmt": ("index", "idxname", "relation"),
}
# What a subcommand of ALTER TABLE turns on, or off (False).
_SWITCHES = {
    pb.AT_SetNotNull: ("NOT NULL", True),
    pb.AT_DropNotNull: ("NOT NULL", False),
    pb.AT_EnableRowSecurity: ("row-level security", True),
    pb.AT_DisableRowSecurity: ("row-level security", False),
    pb.AT_ForceRowSecurity: ("forced row-level security", True),
    pb.AT_NoForceRowSecurity: ("forced row-level security", False),
}


def events(node: str, stmt: Any) -> Iterator[Event]:
    """Yield the effects of the statement, in the order in which PostgreSQL applies them."""
    if node in _IN_SCHEMA:
        yield _made_in_schema(_IN_SCHEMA[node], node, stmt)
    elif node in _IN_DATABASE:
        kind, attribute = _IN_DATABASE[node]
        yield Made(NamedObject(kind, "", getattr(stmt, attribute)))
    elif node in _OF_A_TABLE:
        kind, attribute, table = _OF_A_TABLE[node]
        name = getattr(stmt, attribute) or _index_name(stmt)
        yield Made(_part(kind, getattr(stmt, table), name))
    elif node in _OTHERS:
        yield from _OTHERS[node](stmt)


def path_of(stmt: Any) -> tuple[str, ...]:
    """Return the schemas of a SET search_path; empty if they depend on the role."""
    values = tuple(str(a.a_const.sval.sval) for a in stmt.args)
    return () if "$user" in values else values


def _made_in_schema(kind: str, node: str, stmt: Any) -> Made:
    schema, name = made_in_schema(node, stmt) or ("", "")
    relation = {"create_stmt": "relation", "view_stmt": "view", "create_seq_stmt": "sequence"}
    is_temporary = node in relation and getattr(stmt, relation[node]).relpersistence == "t"
    arguments = len(_inputs(stmt.parameters)) if kind == "function" else -1
    return Made(NamedObject(kind, TEMPORARY if is_temporary else schema, name, arguments=arguments))


def _filled(stmt: Any) -> Iterator[Event]:
    """Yield the relation that CREATE TABLE AS or SELECT INTO creates."""
    if not stmt.HasField("into" if isinstance(stmt, pb.CreateTableAsStmt) else "into_clause"):
        return
    is_select = isinstance(stmt, pb.SelectStmt)
    relation = stmt.into_clause.rel if is_select else stmt.into.rel
    is_view = not is_select and stmt.objtype == pb.OBJECT_MATVIEW
    schema = TEMPORARY if relation.relpersistence == "t" else relation.schemaname
    yield Made(NamedObject("materialized view" if is_view else "table", schema, relation.relname))


def _defined(stmt: Any) -> Iterator[Event]:
    if stmt.kind in _DEFINED:
        yield _made_in_schema(_DEFINED[stmt.kind], "define_stmt", stmt)


def _dropped(stmt: Any) -> Iterator[Event]:
    kind, part = _KINDS.get(stmt.remove_type), _PARTS.get(stmt.remove_type)
    for item in stmt.objects:
        names = _names(item)
        if part:
            yield Gone(NamedObject(part, _schema(names[:-1]), names[-1], names[-2]))
        elif kind:
            arguments = _arguments(item.object_with_args) if kind == "function" else -1
            yield Gone(NamedObject(kind, _schema(names), names[-1], arguments=arguments))


def _dropped_roles(stmt: Any) -> Iterator[Event]:
    yield from (Gone(NamedObject("role", "", node.role_spec.rolename)) for node in stmt.roles)


def _renamed(stmt: Any) -> Iterator[Event]:
    kind, part = _KINDS.get(stmt.rename_type), _PARTS.get(stmt.rename_type)
    if part:
        names = (stmt.subname, stmt.newname)
        yield Renamed(*(_part(part, stmt.relation, name) for name in names))
    elif kind == "schema":
        yield Renamed(NamedObject(kind, "", stmt.subname), NamedObject(kind, "", stmt.newname))
    elif kind:
        old = _subject(kind, stmt)
        yield Renamed(old, NamedObject(kind, old.schema, stmt.newname, arguments=old.arguments))


def _moved(stmt: Any) -> Iterator[Event]:
    """Yield the move that SET SCHEMA makes."""
    if kind := _KINDS.get(stmt.object_type):
        old = _subject(kind, stmt)
        yield Renamed(old, NamedObject(kind, stmt.newschema, old.name, arguments=old.arguments))


def _relabelled(stmt: Any) -> Iterator[Event]:
    """Yield the rename that ALTER TYPE … RENAME VALUE makes."""
    if stmt.old_val and stmt.new_val:
        *schema, name = [n.string.sval for n in stmt.type_name]
        labels = (stmt.old_val, stmt.new_val)
        yield Renamed(
            *(NamedObject("label", "".join(schema[-1:]), label, name) for label in labels)
        )


def _altered(stmt: Any) -> Iterator[Event]:
    """Yield the effects of the subcommands; drops come first, wherever they are in the text."""
    found = [e for n in stmt.cmds for e in _subcommand(stmt.relation, n.alter_table_cmd)]
    yield from (event for event in found if isinstance(event, Used))
    yield from (event for event in found if isinstance(event, Gone))
    yield from (event for event in found if isinstance(event, Made))


def _subcommand(relation: Any, command: Any) -> Iterator[Event]:
    definition = getattr(command, "def")
    match command.subtype:
        case pb.AT_AddColumn:
            yield Made(_part("column", relation, definition.column_def.colname))
        case pb.AT_DropColumn:
            yield Gone(_part("column", relation, command.name))
        case pb.AT_AddConstraint:
            yield Made(_part("constraint", relation, _constraint_name(relation, definition)))
        case pb.AT_DropConstraint:
            yield Gone(_part("constraint", relation, command.name))
        case pb.AT_AttachPartition:
            child = definition.partition_cmd.name
            yield Used(child.schemaname, child.relname)
        case switch if switch in _SWITCHES:
            what, is_on = _SWITCHES[switch]
            thing = _part(what, relation, command.name)
            yield Made(thing) if is_on else Gone(thing)
    if command.subtype == pb.AT_SetNotNull or _is_primary(definition):
        yield Used(relation.schemaname, relation.relname)


def _index_name(stmt: Any) -> str:
    """Return PostgreSQL's default name for an index, valid if that is free and short enough."""
    columns = [node.index_elem.name or "expr" for node in stmt.index_params]
    return "_".join((stmt.relation.relname, *columns, "idx"))


def _constraint_name(relation: Any, definition: Any) -> str:
    """Return a constraint's name, or PostgreSQL's default for one without a name."""
    constraint = definition.constraint
    endings = {pb.CONSTR_PRIMARY: "pkey", pb.CONSTR_UNIQUE: "key", pb.CONSTR_FOREIGN: "fkey"}
    is_primary = constraint.contype == pb.CONSTR_PRIMARY
    keys = () if is_primary else (*constraint.keys, *constraint.fk_attrs)
    names = (node.string.sval for node in keys)
    ending = endings.get(constraint.contype, "check")
    return constraint.conname or "_".join((relation.relname, *names, ending))


def _is_primary(definition: Any) -> bool:
    return bool(definition.constraint.contype == pb.CONSTR_PRIMARY)


def _inserted(stmt: Any) -> Iterator[Event]:
    """Yield that an INSERT … ON CONFLICT relies on a unique constraint or index."""
    if stmt.HasField("on_conflict_clause"):
        yield Used(stmt.relation.schemaname, stmt.relation.relname)


def _subject(kind: str, stmt: Any) -> NamedObject:
    if stmt.HasField("relation"):
        return NamedObject(kind, stmt.relation.schemaname, stmt.relation.relname)
    names = _names(stmt.object)
    arguments = _arguments(stmt.object.object_with_args) if kind == "function" else -1
    return NamedObject(kind, _schema(names), names[-1], arguments=arguments)


def _part(kind: str, relation: Any, name: str) -> NamedObject:
    schema = TEMPORARY if relation.relpersistence == "t" else relation.schemaname
    return NamedObject(kind, schema, name, relation.relname)


def _names(item: Any) -> list[str]:
    match item.WhichOneof("node"):
        case "type_name":
            found = item.type_name.names
        case "object_with_args":
            found = item.object_with_args.objname
        case "list":
            found = item.list.items
        case _:
            return [item.string.sval]
    return [part.string.sval for part in found]


def _schema(names: list[str]) -> str:
    return names[-2] if len(names) > 1 else ""


def _arguments(routine: Any) -> int:
    if routine.args_unspecified:
        return -1
    return len(_inputs(routine.objfuncargs)) if routine.objfuncargs else len(routine.objargs)


def _inputs(parameters: Any) -> list[Any]:
    outputs = (pb.FUNC_PARAM_OUT, pb.FUNC_PARAM_TABLE)
    return [n for n in parameters if n.function_parameter.mode not in outputs]


_OTHERS: dict[str, Callable[[Any], Iterator[Event]]] = {
    "create_table_as_stmt": _filled,
    "select_stmt": _filled,
    "define_stmt": _defined,
    "drop_stmt": _dropped,
    "drop_role_stmt": _dropped_roles,
    "rename_stmt": _renamed,
    "alter_object_schema_stmt": _moved,
    "alter_enum_stmt": _relabelled,
    "alter_table_stmt": _altered,
    "insert_stmt": _inserted,
}
NODES = frozenset((*_IN_SCHEMA, *_IN_DATABASE, *_OF_A_TABLE, *_OTHERS))
"""The parser's names of all statements that `events` handles."""
