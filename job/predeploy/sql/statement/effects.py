"""Effects of a statement that a rollback does not undo, or that must be examined first."""

import re
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

import postgast
from postgast import pg_query_pb2 as pb

from predeploy.contract.statement import Statement
from predeploy.sql.parser.names import SERIALS, Name, name_of
from predeploy.sql.parser.parsing import commands_of, node_of
from predeploy.sql.parser.tree import below, nodes_of

# Statements that write the catalog alone, so that a rollback leaves nothing behind.
_PURE = frozenset((
    "create_stmt", "index_stmt", "create_seq_stmt", "alter_seq_stmt", "view_stmt",
    "create_enum_stmt", "alter_enum_stmt", "composite_type_stmt", "create_domain_stmt",
    "create_range_stmt", "alter_type_stmt", "create_schema_stmt", "create_extension_stmt",
    "create_function_stmt", "alter_function_stmt", "create_trig_stmt", "create_policy_stmt",
    "alter_policy_stmt", "create_stats_stmt", "alter_stats_stmt", "rule_stmt", "comment_stmt",
    "grant_stmt", "grant_role_stmt", "alter_default_privileges_stmt", "alter_owner_stmt",
    "define_stmt", "create_cast_stmt", "drop_stmt", "rename_stmt", "alter_object_schema_stmt",
    "variable_set_stmt", "variable_show_stmt", "constraints_set_stmt", "lock_stmt",
    "create_role_stmt", "alter_role_stmt", "drop_role_stmt", "create_foreign_table_stmt",
))  # fmt: skip
# Objects whose drop leaves no trace in pg_class, pg_attribute, pg_type or pg_enum without CASCADE.
_DROPPED_UNSEEN = frozenset((
    pb.OBJECT_FUNCTION, pb.OBJECT_PROCEDURE, pb.OBJECT_ROUTINE, pb.OBJECT_AGGREGATE,
    pb.OBJECT_TRIGGER, pb.OBJECT_POLICY, pb.OBJECT_RULE, pb.OBJECT_CAST, pb.OBJECT_OPERATOR,
    pb.OBJECT_STATISTIC_EXT, pb.OBJECT_PUBLICATION, pb.OBJECT_EVENT_TRIGGER, pb.OBJECT_COLLATION,
))  # fmt: skip
_RENAMED_UNSEEN = frozenset((
    pb.OBJECT_FUNCTION, pb.OBJECT_PROCEDURE, pb.OBJECT_ROUTINE, pb.OBJECT_AGGREGATE,
    pb.OBJECT_TRIGGER, pb.OBJECT_POLICY, pb.OBJECT_RULE, pb.OBJECT_TABCONSTRAINT,
    pb.OBJECT_DOMCONSTRAINT, pb.OBJECT_ROLE, pb.OBJECT_SCHEMA, pb.OBJECT_INDEX,
))  # fmt: skip
_LEAVES_COLUMNS_ALONE = frozenset((
    pb.AT_ValidateConstraint, pb.AT_EnableTrig, pb.AT_EnableAlwaysTrig, pb.AT_EnableReplicaTrig,
    pb.AT_DisableTrig, pb.AT_EnableTrigAll, pb.AT_DisableTrigAll, pb.AT_EnableTrigUser,
    pb.AT_DisableTrigUser, pb.AT_EnableRowSecurity, pb.AT_DisableRowSecurity,
    pb.AT_ForceRowSecurity, pb.AT_NoForceRowSecurity, pb.AT_ReplicaIdentity, pb.AT_SetRelOptions,
    pb.AT_ResetRelOptions, pb.AT_ReplaceRelOptions, pb.AT_AlterConstraint, pb.AT_ClusterOn,
    pb.AT_DropCluster,
))  # fmt: skip
# These may write the table into a new file.
_REWRITES = frozenset((
    pb.AT_AlterColumnType, pb.AT_SetLogged, pb.AT_SetUnLogged, pb.AT_SetTableSpace,
    pb.AT_SetAccessMethod,
))  # fmt: skip
# Unlike PRIMARY KEY, these do not make a column NOT NULL.
_ADDED_AS_IT_IS = frozenset((pb.CONSTR_CHECK, pb.CONSTR_FOREIGN, pb.CONSTR_UNIQUE))
_FILLED = frozenset((pb.CONSTR_IDENTITY, pb.CONSTR_GENERATED))
# As a default these give all rows the same value, so that no row is rewritten.
_STABLE = frozenset(("now", "transaction_timestamp", "statement_timestamp", "current_setting"))
_QUERIES = ("select_stmt", "insert_stmt", "update_stmt", "create_table_as_stmt", "prepare_stmt")
_WORDS_OF_LOSS = re.compile(
    r"\b(?:delete|truncate|drop|rename|alter\s+table|merge)\b", re.IGNORECASE
)
_PART_OF_NAME = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_REACHED = re.compile(
    r"\b(?:into|update|from|join|table|copy|truncate|using|nextval|setval)\b[\s('\"]*"
    r"(?:if\s+(?:not\s+)?exists\s+)?(?:only\s+)?"
    rf"(?:{_PART_OF_NAME}\s*\.\s*)*({_PART_OF_NAME})",
    re.IGNORECASE,
)
_LONGEST_HEAD = 400  # characters: in an INSERT values follow


@dataclass(frozen=True, slots=True)
class Destruction:
    """What a statement removes, renames or rewrites, according to its text.

    `emptied` names the tables that may lose their rows or have them rewritten into a new file, as
    (schema, table); a schema left to the search_path is empty.
    """

    emptied: tuple[Name, ...] = ()


def outlives_rollback(statement: Statement) -> bool:
    """Whether running it twice may show: it may advance a sequence, or reach outside the database.

    True for DML, queries and code; false for what only writes the catalog, unless it fills a column
    by a function.
    """
    if statement.node == "alter_table_stmt":
        return "(" in statement.text and _fills_by_function(statement)
    return statement.node not in _PURE


def destruction(statement: Statement, made: Container[str]) -> Destruction | None:
    """Return what a statement removes that existed before it; None if its text shows nothing.

    `made` names the tables that the same step has made before it. The effects of DO, CALL and
    functions cannot be seen in the text.
    """
    node = statement.node
    if not node:
        return Destruction() if _WORDS_OF_LOSS.search(statement.text) else None
    if node in _QUERIES:
        return _of_query(statement)
    find = _FINDERS.get(node)
    if find is None:
        return None
    found = find(node_of(statement))
    if node in ("alter_table_stmt", "rename_stmt") and node_of(statement).relation.relname in made:
        return None
    return found


def relations_reached(statement: Statement) -> frozenset[str]:
    """Return the names, without schemas, of the relations that a statement reads or writes.

    It may return a few too many, which is harmless; relations reached by functions are not
    included.
    """
    is_data = statement.node in ("insert_stmt", "copy_stmt")
    text = statement.text[:_LONGEST_HEAD] if is_data else statement.text
    names = (match[1] for match in _REACHED.finditer(text))
    return frozenset(
        name[1:-1].replace('""', '"') if name.startswith('"') else name.lower() for name in names
    )


def _fills_by_function(statement: Statement) -> bool:
    return any(
        command.subtype in (pb.AT_AddColumn, pb.AT_AlterColumnType)
        for command in commands_of(node_of(statement))
    ) and any(isinstance(node, pb.FuncCall) for node in nodes_of(statement.text))


def _of_query(statement: Statement) -> Destruction | None:
    """Find a DELETE or MERGE in its WITH clause; for an INSERT, `what` says if there is one."""
    told = statement.what if statement.node == "insert_stmt" else statement.text
    if not re.search(r"\b(?:delete|merge)\b", told, re.IGNORECASE):
        return None
    try:
        nodes = nodes_of(statement.text)
    except postgast.PgQueryError:
        return Destruction()
    deletes = any(isinstance(node, pb.DeleteStmt | pb.MergeStmt) for node in nodes)
    return Destruction() if deletes else None


def _of_relation(stmt: Any) -> Destruction:
    return Destruction((name_of(stmt.relation),))


def _of_merge(stmt: Any) -> Destruction | None:
    kinds = (node.merge_when_clause.command_type for node in stmt.merge_when_clauses)
    return Destruction() if pb.CMD_DELETE in kinds else None


def _of_truncate(stmt: Any) -> Destruction:
    return Destruction(tuple(name_of(node.range_var) for node in stmt.relations))


def _of_drop(stmt: Any) -> Destruction | None:
    is_unseen = stmt.remove_type in _DROPPED_UNSEEN and stmt.behavior != pb.DROP_CASCADE
    return None if is_unseen else Destruction()


def _of_rename(stmt: Any) -> Destruction | None:
    return None if stmt.rename_type in _RENAMED_UNSEEN else Destruction()


def _of_enum(stmt: Any) -> Destruction | None:
    return Destruction() if stmt.old_val else None


def _of_owner(stmt: Any) -> Destruction | None:
    return Destruction() if stmt.object_type in (pb.OBJECT_TYPE, pb.OBJECT_DOMAIN) else None


def _always(_stmt: Any) -> Destruction:
    return Destruction()


def _of_alter_table(stmt: Any) -> Destruction | None:
    rewritten = any(c.subtype in _REWRITES or _is_filled(c) for c in commands_of(stmt))
    if rewritten:
        return _of_relation(stmt)
    return None if all(_is_harmless(c) for c in commands_of(stmt)) else Destruction()


def _is_harmless(command: Any) -> bool:
    """Whether an ALTER TABLE command changes no existing column; unknown commands may."""
    if command.subtype == pb.AT_AddConstraint:
        return getattr(command, "def").constraint.contype in _ADDED_AS_IT_IS
    return command.subtype == pb.AT_AddColumn or command.subtype in _LEAVES_COLUMNS_ALONE


def _is_filled(command: Any) -> bool:
    """Whether an added column is written into every existing row."""
    if command.subtype != pb.AT_AddColumn:
        return False
    column = getattr(command, "def").column_def
    constraints = [node.constraint for node in column.constraints]
    names = [node.string.sval for node in column.type_name.names]
    return (
        names[-1:] in [[serial] for serial in SERIALS]
        or any(c.contype in _FILLED for c in constraints)
        or any(
            isinstance(node, pb.FuncCall) and node.funcname[-1].string.sval not in _STABLE
            for c in constraints
            if c.contype == pb.CONSTR_DEFAULT
            for node in below(c)
        )
    )


_FINDERS = {
    "delete_stmt": _always,
    "cluster_stmt": _of_relation,
    "merge_stmt": _of_merge,
    "truncate_stmt": _of_truncate,
    "alter_table_stmt": _of_alter_table,
    "drop_stmt": _of_drop,
    "rename_stmt": _of_rename,
    "alter_enum_stmt": _of_enum,
    "alter_owner_stmt": _of_owner,
    "alter_object_schema_stmt": _always,
    "alter_type_stmt": _always,
    "alter_domain_stmt": _always,
    "alter_extension_stmt": _always,
    "alter_extension_contents_stmt": _always,
    "drop_owned_stmt": _always,
    "reassign_owned_stmt": _always,
}
