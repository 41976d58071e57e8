"""Moves foreign keys to tables of unmanaged schemas out of a statement, to be added last.

Such a key locks the referenced table against writes (SHARE ROW EXCLUSIVE) until the shadow is
rolled back, so it is added after everything else. Names that the server generates stay the same.
https://www.postgresql.org/docs/current/explicit-locking.html
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import postgast
from postgast import pg_query_pb2 as pb

from predeploy.sql.parser.names import Name
from predeploy.sql.parser.parsing import parse

_ATTRIBUTES = (
    pb.CONSTR_ATTR_DEFERRABLE, pb.CONSTR_ATTR_NOT_DEFERRABLE, pb.CONSTR_ATTR_DEFERRED,
    pb.CONSTR_ATTR_IMMEDIATE, pb.CONSTR_ATTR_ENFORCED, pb.CONSTR_ATTR_NOT_ENFORCED,
)  # fmt: skip


def take_apart(text: str, is_far: Callable[[Name], bool]) -> tuple[str, tuple[str, ...]]:
    """Return the statement without its far foreign keys, and an ALTER TABLE for each of those.

    `text` is a CREATE TABLE or an ALTER TABLE; the first value is empty if nothing else is in it.
    """
    parsed = parse(text)
    raw = parsed.stmts[0].stmt
    if raw.WhichOneof("node") == "create_stmt":
        relation = raw.create_stmt.relation
        far = list(_out_of_table(raw.create_stmt, is_far))
        rest = postgast.deparse(parsed)
    else:
        relation = raw.alter_table_stmt.relation
        far = list(_out_of_commands(raw.alter_table_stmt, is_far))
        rest = postgast.deparse(parsed) if raw.alter_table_stmt.cmds else ""
    return rest, tuple(_added(relation, constraint) for constraint in far)


def _out_of_table(stmt: Any, is_far: Callable[[Name], bool]) -> Iterator[Any]:
    kept = []
    for element in stmt.table_elts:
        if element.WhichOneof("node") == "constraint" and _refers(element.constraint, is_far):
            yield element.constraint
            continue
        if element.WhichOneof("node") == "column_def":
            yield from _out_of_column(element.column_def, is_far)
        kept.append(element)
    _replace(stmt.table_elts, kept)


def _out_of_commands(stmt: Any, is_far: Callable[[Name], bool]) -> Iterator[Any]:
    kept = []
    for node in stmt.cmds:
        definition = getattr(node.alter_table_cmd, "def")
        if _refers(definition.constraint, is_far):
            yield definition.constraint
            continue
        if definition.WhichOneof("node") == "column_def":
            yield from _out_of_column(definition.column_def, is_far)
        kept.append(node)
    _replace(stmt.cmds, kept)


def _out_of_column(column: Any, is_far: Callable[[Name], bool]) -> Iterator[Any]:
    """Yield a column's far keys as table constraints, with the attributes that follow each."""
    kept: list[Any] = []
    taken: Any = None
    for node in column.constraints:
        constraint = node.constraint
        if _refers(constraint, is_far):
            if taken is not None:
                yield taken
            taken = pb.Constraint()
            taken.CopyFrom(constraint)
            taken.fk_attrs.add().string.sval = column.colname
        elif taken is not None and constraint.contype in _ATTRIBUTES:
            _modify(taken, constraint.contype)
        else:
            if taken is not None:
                yield taken
                taken = None
            kept.append(node)
    if taken is not None:
        yield taken
    _replace(column.constraints, kept)


def _modify(constraint: Any, attribute: int) -> None:
    """Apply an attribute that follows a column constraint to the table constraint."""
    if attribute in (pb.CONSTR_ATTR_DEFERRABLE, pb.CONSTR_ATTR_DEFERRED):
        constraint.deferrable = True
    if attribute == pb.CONSTR_ATTR_DEFERRED:
        constraint.initdeferred = True
    if attribute == pb.CONSTR_ATTR_NOT_ENFORCED:
        constraint.is_enforced = False


def _refers(constraint: Any, is_far: Callable[[Name], bool]) -> bool:
    target = constraint.pktable
    is_key = constraint.contype == pb.CONSTR_FOREIGN
    return bool(is_key and is_far((target.schemaname, target.relname)))


def _added(relation: Any, constraint: Any) -> str:
    parsed = pb.ParseResult()
    stmt = parsed.stmts.add().stmt.alter_table_stmt
    stmt.relation.CopyFrom(relation)
    stmt.relation.inh = True
    stmt.objtype = pb.OBJECT_TABLE
    command = stmt.cmds.add().alter_table_cmd
    command.subtype = pb.AT_AddConstraint
    command.behavior = pb.DROP_RESTRICT
    getattr(command, "def").constraint.CopyFrom(constraint)
    return postgast.deparse(parsed)


def _replace(field: Any, kept: Iterable[Any]) -> None:
    copies = []
    for node in kept:
        copy = pb.Node()
        copy.CopyFrom(node)
        copies.append(copy)
    del field[:]
    field.extend(copies)
