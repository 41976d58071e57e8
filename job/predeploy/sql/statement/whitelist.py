"""The statements that a schema file may contain: those that declare objects of a schema.

Schema files are run on the live database inside a transaction that is rolled back. So a statement
that could end that transaction, write rows, or reach beyond the schemas is refused before anything
is sent. The list names what is allowed, so that statements invented by a newer server are refused
too.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any

from postgast import pg_query_pb2 as pb

from predeploy.contract.statement import Statement
from predeploy.sql.statement.classify import detaches_concurrently


class Verdict(Enum):
    """What happens to a statement that is not refused."""

    RUN = "run"
    SKIP = "skip"  # says nothing about the objects, or only what the database's owner decides
    PATH = "path"  # sets the search_path for what follows


# fmt: off
_RUN = frozenset((
    "index_stmt", "create_seq_stmt", "alter_seq_stmt", "view_stmt",
    "create_enum_stmt", "composite_type_stmt", "create_domain_stmt", "create_range_stmt",
    "alter_type_stmt", "create_function_stmt", "alter_function_stmt", "create_trig_stmt",
    "create_policy_stmt", "alter_policy_stmt", "rule_stmt", "create_stats_stmt", "alter_stats_stmt",
    "create_op_class_stmt", "create_op_family_stmt", "alter_op_family_stmt", "alter_operator_stmt",
    "create_cast_stmt", "create_conversion_stmt", "create_foreign_table_stmt",
    "alter_object_depends_stmt", "alter_tsconfiguration_stmt", "alter_tsdictionary_stmt",
    "alter_default_privileges_stmt", "create_extension_stmt",
))
# pg_dump begins with these; they steer its own restore, or would undo predeploy's timeouts.
_SKIPPED_SETTINGS = frozenset((
    "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout",
    "transaction_timeout", "client_encoding", "standard_conforming_strings",
    "check_function_bodies", "xmloption", "client_min_messages", "row_security",
    "default_tablespace", "default_table_access_method", "default_with_oids",
    "escape_string_warning",
))
# fmt: on
_DROPS = frozenset(
    (pb.AT_DropColumn, pb.AT_DropConstraint, pb.AT_DetachPartition, pb.AT_DetachPartitionFinalize)
)
_OF_SCHEMAS = frozenset(
    (pb.OBJECT_TABLE, pb.OBJECT_SEQUENCE, pb.OBJECT_FUNCTION, pb.OBJECT_PROCEDURE,
     pb.OBJECT_ROUTINE, pb.OBJECT_TYPE, pb.OBJECT_DOMAIN, pb.OBJECT_SCHEMA)
)  # fmt: skip
_BEYOND_SCHEMAS = frozenset(
    (pb.OBJECT_DATABASE, pb.OBJECT_ROLE, pb.OBJECT_TABLESPACE, pb.OBJECT_SUBSCRIPTION,
     pb.OBJECT_PUBLICATION, pb.OBJECT_EVENT_TRIGGER, pb.OBJECT_FDW, pb.OBJECT_FOREIGN_SERVER,
     pb.OBJECT_LANGUAGE, pb.OBJECT_LARGEOBJECT, pb.OBJECT_ACCESS_METHOD)
)  # fmt: skip
_TRANSACTION = "a schema file cannot begin, end or divide transactions"
_ROWS = "a schema file declares objects; rows belong in migrations/ or seed/"
_RUNS_CODE = "a schema file declares objects and runs no code; put it into migrations/"
_TAKES_AWAY = "a schema file says what is there; what is to go, leave out"
_MOVES = "a schema file says where things are; declare it there, and move it in a migration"
_BEYOND = "it reaches beyond the schemas of this database; set it up apart from the schema"
_REASONS = {
    "transaction_stmt": _TRANSACTION,
    **dict.fromkeys(("prepare_stmt", "execute_stmt", "deallocate_stmt", "do_stmt", "call_stmt",
                     "declare_cursor_stmt", "load_stmt", "listen_stmt", "notify_stmt"), _RUNS_CODE),
    **dict.fromkeys(("insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "copy_stmt",
                     "select_stmt", "refresh_mat_view_stmt"), _ROWS),
    "create_table_as_stmt": "declare the table by its columns; rows belong in migrations/ or seed/",
    **dict.fromkeys(("drop_stmt", "truncate_stmt", "drop_owned_stmt", "alter_table_stmt",
                     "alter_domain_stmt", "alter_enum_stmt"), _TAKES_AWAY),
    **dict.fromkeys(("rename_stmt", "alter_object_schema_stmt"), _MOVES),
    **dict.fromkeys(("createdb_stmt", "create_role_stmt", "alter_role_stmt", "grant_role_stmt",
                     "alter_system_stmt", "create_table_space_stmt", "create_subscription_stmt",
                     "create_publication_stmt", "create_event_trig_stmt", "create_fdw_stmt",
                     "create_foreign_server_stmt", "create_user_mapping_stmt", "comment_stmt",
                     "alter_event_trig_stmt", "alter_publication_stmt", "alter_database_stmt",
                     "grant_stmt"), _BEYOND),
    "create_stmt": "a temporary table does not outlive its session",
    "create_schema_stmt": "write CREATE SCHEMA with a name and alone, its objects after it",
    "variable_set_stmt": "a schema file sets nothing but the search_path",
    "define_stmt": "a shell or base type needs functions in C; put it into migrations/",
}  # fmt: skip


def judge(statement: Statement, stmt: Any) -> Verdict | None:
    """Return what happens to a statement, given the parser's node; None if it is refused."""
    verdict: Verdict | None = None
    match statement.node:
        case "alter_table_stmt":
            verdict = _judge_alter_table(stmt)
        case "variable_set_stmt":
            verdict = _judge_setting(stmt)
        case "select_stmt" if path_of_select(stmt) is not None:
            verdict = Verdict.PATH
        case "create_schema_stmt" if stmt.schemaname and not stmt.schema_elts:
            verdict = Verdict.SKIP
        case "alter_owner_stmt":
            # Ownership is not compared, and changing it needs membership in the new role.
            verdict = Verdict.SKIP
        case "comment_stmt" if stmt.objtype == pb.OBJECT_EXTENSION:
            verdict = Verdict.SKIP
        case node if node in _RUN or _is_in_bounds(node, stmt):
            verdict = Verdict.RUN
    return verdict


def reason(statement: Statement) -> str:
    """Return why a statement is refused, and what to do instead."""
    return _REASONS.get(
        statement.node, "it declares no object of a schema; put it into migrations/"
    )


def path_of_select(stmt: Any) -> str | None:
    """Return what `SELECT set_config('search_path', …, …)` sets; None for other SELECTs."""
    bare = pb.SelectStmt()
    bare.CopyFrom(stmt)
    del bare.target_list[:]
    bare.limit_option = bare.op = 0
    if len(stmt.target_list) != 1 or len(bare.ListFields()):
        return None
    call = stmt.target_list[0].res_target.val.func_call
    name = [part.string.sval for part in call.funcname]
    constants = [node.a_const for node in call.args if node.WhichOneof("node") == "a_const"]
    if name[-1:] != ["set_config"] or name[:-1] not in ([], ["pg_catalog"]) or len(constants) != 3:  # noqa: PLR2004
        return None
    is_plain = [c.WhichOneof("val") for c in constants[:2]] == ["sval", "sval"]
    is_path = is_plain and constants[0].sval.sval.lower() == "search_path"
    return constants[1].sval.sval if is_path else None


def _judge_setting(stmt: Any) -> Verdict | None:
    name = stmt.name.lower()
    if name == "search_path":
        return Verdict.PATH
    if name not in _SKIPPED_SETTINGS:
        return None
    values = [node.a_const.sval.sval.lower() for node in stmt.args]
    # Any other value would make the server read the file differently from the parser.
    if name == "standard_conforming_strings" and values not in (["on"], ["true"], ["yes"]):
        return None
    if name == "client_encoding" and values not in (["utf8"], ["utf-8"], ["unicode"]):
        return None
    return Verdict.SKIP


def _judge_alter_table(stmt: Any) -> Verdict | None:
    kinds = {node.alter_table_cmd.subtype for node in stmt.cmds}
    if kinds & _DROPS or detaches_concurrently(stmt):
        return None
    return Verdict.SKIP if kinds == {pb.AT_ChangeOwner} else Verdict.RUN


def _is_in_bounds(node: str, stmt: Any) -> bool:
    is_in_bounds = _BOUNDS.get(node)
    return is_in_bounds is not None and is_in_bounds(stmt)


_BOUNDS: dict[str, Callable[[Any], bool]] = {
    "create_stmt": lambda stmt: bool(stmt.relation.relpersistence != "t"),
    "create_table_as_stmt": lambda stmt: bool(stmt.objtype == pb.OBJECT_MATVIEW),
    "comment_stmt": lambda stmt: stmt.objtype not in _BEYOND_SCHEMAS,
    "grant_stmt": lambda stmt: stmt.objtype in _OF_SCHEMAS,
    "alter_enum_stmt": lambda stmt: bool(stmt.new_val and not stmt.old_val),
    "alter_domain_stmt": lambda stmt: bool(stmt.subtype != "X"),  # DROP CONSTRAINT
    "define_stmt": lambda stmt: bool(stmt.kind != pb.OBJECT_TYPE),
}
