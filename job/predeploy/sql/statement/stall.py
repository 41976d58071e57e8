"""The statement of a step that locks a table, and a later one that prolongs the lock."""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Any

from postgast import pg_query_pb2 as pb

from predeploy.contract.statement import Statement
from predeploy.sql.parser.names import SERIALS
from predeploy.sql.parser.parsing import commands_of, node_of
from predeploy.sql.parser.tree import below

# These take SHARE UPDATE EXCLUSIVE on the table, which blocks neither reads nor writes.
_BRIEFLY = (
    pb.AT_ValidateConstraint, pb.AT_SetStatistics, pb.AT_AttachPartition,
)  # fmt: skip
# SET NOT NULL rewrites nothing, but scans the table under the same lock.
_REWRITES = (
    pb.AT_AlterColumnType, pb.AT_SetLogged, pb.AT_SetUnLogged, pb.AT_SetTableSpace,
    pb.AT_SetAccessMethod, pb.AT_SetNotNull,
)  # fmt: skip
_FILLED = (pb.CONSTR_IDENTITY, pb.CONSTR_GENERATED)
_SCANNED = (pb.CONSTR_CHECK, pb.CONSTR_FOREIGN, pb.CONSTR_UNIQUE, pb.CONSTR_PRIMARY)
# fmt: off
# Built-in functions that give every row of a statement the same value; any other may differ.
_STEADY = frozenset((
    "now", "transaction_timestamp", "statement_timestamp", "current_setting", "timezone",
    "date_trunc", "date_part", "extract", "age", "to_char", "to_date", "to_timestamp",
    "to_number", "make_date", "make_time", "make_timestamp", "make_timestamptz", "make_interval",
    "lower", "upper", "btrim", "trim", "concat", "format", "md5", "sha256", "repeat", "replace",
    "substr", "substring", "length", "coalesce", "abs", "round", "ceil", "floor", "power", "sqrt",
    "json_build_object", "jsonb_build_object", "json_build_array", "jsonb_build_array", "to_json",
    "to_jsonb", "array_fill", "array_append", "string_to_array", "int4range", "int8range",
    "numrange", "tsrange", "tstzrange", "daterange", "to_tsvector", "decode", "encode",
))
# fmt: on


@dataclass(frozen=True, slots=True)
class Stall:
    """A statement that locks a table, and a slow one of the same step that prolongs the lock.

    Both are the same if one statement locks the table and rewrites every row.
    """

    locking: Statement
    table: str
    slow: Statement


def stall(statements: Iterable[Statement], made: Container[str]) -> Stall | None:
    """Return the first stall of a step. Tables in `made` are new: no other session needs them."""
    locking: tuple[Statement, str] | None = None
    for statement in statements:
        if statement.node == "alter_table_stmt" and (table := _filled(statement, made)):
            return Stall(*(locking or (statement, table)), statement)
        if locking and statement.node in _SLOW and _is_slow(statement, made):
            return Stall(*locking, statement)
        if not locking and statement.node in _LOCKING:
            table = _locked(statement, made)
            locking = (statement, table) if table else None
    return None


def tables_locked(statement: Statement) -> list[str]:
    """Return the names of the tables that a statement locks against readers or writers."""
    names = _LOCKING.get(statement.node)
    return [name for name in names(node_of(statement)) if name] if names else []


def is_slow(statement: Statement, made: Container[str]) -> bool:
    """Whether a statement may take long. Tables in `made` are new, and empty or small."""
    if statement.node == "alter_table_stmt" and _filled(statement, made):
        return True
    return statement.node in _SLOW and _is_slow(statement, made)


def _locked(statement: Statement, made: Container[str]) -> str:
    """Return the first old table that the statement locks against readers or writers, or ""."""
    return next((name for name in tables_locked(statement) if name not in made), "")


def _is_slow(statement: Statement, made: Container[str]) -> bool:
    return _SLOW[statement.node](node_of(statement), made)


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
        for command in commands_of(stmt)
    )


def _filled(statement: Statement, made: Container[str]) -> str:
    """Return the old table whose rows get a new value that may differ from row to row, or ""."""
    stmt = node_of(statement)
    added = [getattr(node.alter_table_cmd, "def") for node in stmt.cmds]
    columns = [d for d in added if d.WhichOneof("node") == "column_def"]
    is_old = stmt.relation.relname not in made
    return stmt.relation.relname if is_old and any(map(_fills, columns)) else ""


def _is_volatile(constraint: Any) -> bool:
    """Whether a default may differ from row to row: any function not known to be steady may."""
    return constraint.contype == pb.CONSTR_DEFAULT and any(
        isinstance(node, pb.FuncCall) and not is_steady(node) for node in below(constraint.raw_expr)
    )


def is_steady(call: Any) -> bool:
    """Whether a call gives every row of a statement the same value, as far as its name tells."""
    *schema, name = [node.string.sval for node in call.funcname]
    return schema in ([], ["pg_catalog"]) and name in _STEADY


def _fills(definition: Any) -> bool:
    """Whether an ADD … scans every row of its table or rewrites them."""
    match definition.WhichOneof("node"):
        case "constraint":
            return definition.constraint.contype in _SCANNED and _is_validated(definition)
        case "column_def":
            column = definition.column_def
            kinds = [node.constraint.contype for node in column.constraints]
            names = [node.string.sval for node in column.type_name.names]
            return (
                any(kind in _FILLED for kind in kinds)
                or names[-1:] in [[s] for s in SERIALS]
                or any(_is_volatile(node.constraint) for node in column.constraints)
            )
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
