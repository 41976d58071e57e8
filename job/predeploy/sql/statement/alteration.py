"""The names that a statement alters or drops, so that a later file can supersede an earlier one."""

from collections.abc import Iterator
from typing import Any

from postgast import pg_query_pb2 as pb

from predeploy.contract.statement import Statement
from predeploy.sql.parser.parsing import commands_of, node_of

_NODES = frozenset((
    "alter_table_stmt", "rename_stmt", "drop_stmt", "alter_enum_stmt", "alter_seq_stmt",
))  # fmt: skip
_PARTS = (
    pb.AT_DropColumn, pb.AT_AlterColumnType, pb.AT_DropConstraint, pb.AT_ValidateConstraint,
)  # fmt: skip
_OF_A_RELATION = (pb.OBJECT_COLUMN, pb.OBJECT_TABCONSTRAINT)


def alters(statement: Statement) -> frozenset[str]:
    """Return the names that it alters, drops or renames, without schemas: `t`, `t.column`."""
    if statement.node not in _NODES:
        return frozenset()
    stmt = node_of(statement)
    return frozenset(_names(statement.node, stmt))


def _names(node: str, stmt: Any) -> Iterator[str]:
    match node:
        case "alter_table_stmt":
            commands = commands_of(stmt)
            parts = (c.name for c in commands if c.subtype in _PARTS)
            yield from (f"{stmt.relation.relname}.{part}" for part in parts)
        case "rename_stmt" if stmt.rename_type in _OF_A_RELATION:
            yield from (f"{stmt.relation.relname}.{part}" for part in (stmt.subname, stmt.newname))
        case "rename_stmt":
            yield stmt.relation.relname or _last(stmt.object.list.items)
        case "drop_stmt":
            yield from (_last(_parts(item)) for item in stmt.objects)
        case "alter_enum_stmt":
            yield _last(stmt.type_name)
        case _:
            yield stmt.sequence.relname


def _parts(item: Any) -> Any:
    return item.type_name.names if item.HasField("type_name") else item.list.items


def _last(names: Any) -> str:
    return str(names[-1].string.sval) if names else ""
