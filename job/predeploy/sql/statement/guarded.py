"""What a statement drops IF EXISTS: if it does not exist, the drop is already done."""

from collections.abc import Iterator
from typing import Any

from postgast import pg_query_pb2 as pb

from predeploy.contract.statement import Statement
from predeploy.losses.loss import Loss, Verb
from predeploy.sql.parser.names import dotted
from predeploy.sql.parser.parsing import commands_of, node_of

_TABLES = (pb.OBJECT_TABLE, pb.OBJECT_MATVIEW)


def guarded_drops(statement: Statement) -> tuple[Loss, ...]:
    """Return the tables and columns that it drops IF EXISTS, with a schema if it names one."""
    if statement.node not in ("drop_stmt", "alter_table_stmt"):
        return ()
    stmt = node_of(statement)
    found = _tables(stmt) if statement.node == "drop_stmt" else _columns(stmt)
    return tuple(found)


def _tables(stmt: Any) -> Iterator[Loss]:
    if stmt.missing_ok and stmt.remove_type in _TABLES:
        for item in stmt.objects:
            parts = [part.string.sval for part in item.list.items]
            yield Loss(Verb.DROP_TABLE, dotted(parts[-2] if parts[1:] else "", parts[-1]))


def _columns(stmt: Any) -> Iterator[Loss]:
    table = dotted(stmt.relation.schemaname, stmt.relation.relname)
    for command in commands_of(stmt):
        if command.subtype == pb.AT_DropColumn and (command.missing_ok or stmt.missing_ok):
            yield Loss(Verb.DROP_COLUMN, f"{table}.{command.name}")
