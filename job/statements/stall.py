"""Which statement of a step keeps others from a table, and which one then takes its time."""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Any

from postgast import pg_query_pb2 as pb

from job.plan import Statement
from job.statements.parsing import parse

_BRIEFLY = (
    pb.AT_ValidateConstraint, pb.AT_SetStatistics, pb.AT_AttachPartition,
)  # fmt: skip
_REWRITES = (
    pb.AT_AlterColumnType, pb.AT_SetLogged, pb.AT_SetUnLogged, pb.AT_SetTableSpace,
    pb.AT_SetAccessMethod, pb.AT_SetNotNull,
)  # fmt: skip
_FILLED = (pb.CONSTR_IDENTITY, pb.CONSTR_GENERATED)
_SCANNED = (pb.CONSTR_CHECK, pb.CONSTR_FOREIGN, pb.CONSTR_UNIQUE, pb.CONSTR_PRIMARY)
_SERIALS = ("serial", "bigserial", "smallserial", "serial4", "serial8", "serial2")


@dataclass(frozen=True, slots=True)
class Stall:
    """A statement that locks a table, and a later one of the same step that holds it up."""

    locking: Statement
    table: str
    slow: Statement


def stall(statements: Iterable[Statement], made: Container[str]) -> Stall | None:
    """Return the first stall of a step. Tables in `made` are new: nobody waits for those."""
    locking: tuple[Statement, str] | None = None
    for statement in statements:
        if locking and statement.node in _SLOW and _is_slow(statement, made):
            return Stall(*locking, statement)
        if not locking and statement.node in _LOCKING:
            table = _locked(statement, made)
            locking = (statement, table) if table else None
    return None


def _locked(statement: Statement, made: Container[str]) -> str:
    """Return the first old table that the statement keeps readers or writers from, or nothing."""
    names = _LOCKING[statement.node](_parsed(statement))
    return next((name for name in names if name and name not in made), "")


def _is_slow(statement: Statement, made: Container[str]) -> bool:
    return _SLOW[statement.node](_parsed(statement), made)


def _parsed(statement: Statement) -> Any:
    return getattr(parse(statement.text).stmts[0].stmt, statement.node)


def _altered(stmt: Any) -> list[str]:
    is_brief = all(node.alter_table_cmd.subtype in _BRIEFLY for node in stmt.cmds)
    return [] if is_brief or stmt.objtype != pb.OBJECT_TABLE else [stmt.relation.relname]


def _of_relation(stmt: Any) -> list[str]:
    return [stmt.relation.relname]


def _of_relations(stmt: Any) -> list[str]:
    return [node.range_var.relname for node in stmt.relations]


def _always(_stmt: Any, _made: Container[str]) -> bool:
    return True


def _is_old(stmt: Any, made: Container[str]) -> bool:
    return stmt.relation.relname not in made


def _selects(stmt: Any, _made: Container[str]) -> bool:
    query = stmt.select_stmt.select_stmt
    return bool(query.from_clause or query.larg.ListFields())


def _rewrites(stmt: Any, made: Container[str]) -> bool:
    return stmt.relation.relname not in made and any(
        command.subtype in _REWRITES or _fills(getattr(command, "def"))
        for command in (node.alter_table_cmd for node in stmt.cmds)
    )


def _fills(definition: Any) -> bool:
    """Whether an ADD … looks at every row of its table, or writes them anew."""
    match definition.WhichOneof("node"):
        case "constraint":
            return definition.constraint.contype in _SCANNED and _is_validated(definition)
        case "column_def":
            column = definition.column_def
            kinds = [node.constraint.contype for node in column.constraints]
            names = [node.string.sval for node in column.type_name.names]
            return any(kind in _FILLED for kind in kinds) or names[-1:] in [[s] for s in _SERIALS]
    return False


def _is_validated(definition: Any) -> bool:
    constraint = definition.constraint
    return not constraint.skip_validation and not constraint.indexname


# By the parser's node: the tables that it locks against readers or writers, and whether it is slow.
_LOCKING: dict[str, Callable[[Any], list[str]]] = {
    "alter_table_stmt": _altered,
    "rename_stmt": _of_relation,
    "create_trig_stmt": _of_relation,
    "rule_stmt": _of_relation,
    "truncate_stmt": _of_relations,
    "lock_stmt": _of_relations,
}
_SLOW: dict[str, Callable[[Any, Container[str]], bool]] = {
    "update_stmt": _always,
    "delete_stmt": _always,
    "merge_stmt": _always,
    "insert_stmt": _selects,
    "copy_stmt": _always,
    "index_stmt": _is_old,
    "alter_table_stmt": _rewrites,
    "cluster_stmt": _always,
    "refresh_mat_view_stmt": _always,
}
