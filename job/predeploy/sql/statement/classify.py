"""Classifies a statement: how PostgreSQL lets it run, and whom it may block."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from postgast import pg_query_pb2 as pb

from predeploy.contract.statement import Mode, Statement
from predeploy.sql.parser.parsing import commands_of, parse
from predeploy.sql.statement.isolation import why_impossible

COPY_FROM_STDIN = "COPY … FROM STDIN"

_DROP_DATABASE = "DROP DATABASE"
_SETS_LOCALLY = re.compile(r"set\s+(local|transaction)\b", re.IGNORECASE)
_SETS_BACK = re.compile(r"\b(?:reset|default)\b", re.IGNORECASE)
# Settings that predeploy makes before a file's own statements.
_SURROUNDINGS = ("search_path", "row_security")
_SETS_SEQUENCE = re.compile(r"\bsetval\s*\(", re.IGNORECASE)
_SET_CONFIG = re.compile(
    r"select\s+(pg_catalog\.)?set_config\s*\(.*,\s*false\s*\)$", re.IGNORECASE | re.DOTALL
)
# fmt: off
_READS_OR_WRITES_ROWS = frozenset((
    "select", "insert", "update", "delete", "merge", "explain", "variable_set", "variable_show",
    "copy", "constraints_set", "notify", "prepare", "execute", "deallocate", "declare_cursor",
    "fetch", "close_portal",
))
_ADDITIVE = frozenset((
    "create", "index", "create_seq", "create_enum", "composite_type", "create_domain",
    "create_range", "create_schema", "create_extension", "view", "create_function", "create_trig",
    "create_policy", "create_stats", "rule", "do",
))
_TAKES_NOTHING = frozenset((
    "create_stmt", "index_stmt", "vacuum_stmt", "reindex_stmt", "alter_enum_stmt",
))
# fmt: on


def classify(node: str, stmt: Any) -> tuple[Mode, str]:
    """Return how a statement must run, and its name if a message will need one.

    The manual marks each command that "cannot be executed inside a transaction block" on its page.
    """
    kind = node.removesuffix("_stmt")
    if kind == "transaction":
        return _classify_transaction(stmt)
    if kind == "alter_enum" and stmt.new_val and not stmt.old_val:
        # A new label cannot be used before its transaction is committed.
        return Mode.OWN_TRANSACTION, "ALTER TYPE … ADD VALUE"
    if kind == "copy" and not stmt.is_program and not stmt.filename:
        return Mode.REFUSED, COPY_FROM_STDIN if stmt.is_from else "COPY … TO STDOUT"
    if kind == "variable_set" and (setting := _refused_setting(stmt)):
        return Mode.REFUSED, setting
    if name := _autocommit_name(kind, stmt):
        return Mode.AUTOCOMMIT, name
    return Mode.TRANSACTION, _more_than_an_insert(stmt) if kind == "insert" else ""


def holds_ddl(statements: Iterable[Statement]) -> bool:
    """Whether any of them may take a table lock that blocks readers; a DO or a CALL may."""
    return any(s.node.removesuffix("_stmt") not in _READS_OR_WRITES_ROWS for s in statements)


def is_additive(statement: Statement) -> bool:
    """Whether it only adds, and so may be replayed on a database with unknown history.

    A DO block counts as additive, because it can check first; its effects are judged afterwards.
    One that calls setval() does not count, because a sequence's value survives a rollback.
    """
    if statement.node == "do_stmt" and _SETS_SEQUENCE.search(statement.text):
        return False
    if sets_session(statement) or statement.node == "variable_set_stmt":
        return True
    if statement.node != "alter_table_stmt":
        # IF NOT EXISTS makes an index build repeatable, even with CONCURRENTLY.
        guarded_build = statement.node == "index_stmt" and "not exists" in statement.text.lower()
        plain = statement.mode is Mode.TRANSACTION or guarded_build
        return plain and statement.node.removesuffix("_stmt") in _ADDITIVE
    parsed = parse(statement.text)
    commands = [node.alter_table_cmd for node in parsed.stmts[0].stmt.alter_table_stmt.cmds]
    return all(c.subtype in (pb.AT_AddColumn, pb.AT_AddConstraint) for c in commands)


def is_unwatched(statement: Statement) -> bool:
    """Whether it runs outside a transaction and may cause an irreversible loss.

    The loss sentinel cannot look before such a statement is committed. What PostgreSQL itself
    refuses in a transaction removes nothing, except for DROP DATABASE.
    """
    if statement.mode is not Mode.AUTOCOMMIT or statement.node in _TAKES_NOTHING:
        return False
    return statement.what not in {name for _, name, _ in _AUTOCOMMIT} - {_DROP_DATABASE}


def sets_session(statement: Statement) -> bool:
    """Whether it changes a setting or the role for later statements, beyond its transaction."""
    if statement.node == "variable_set_stmt":
        return not _SETS_LOCALLY.match(statement.text)
    return statement.node == "select_stmt" and bool(_SET_CONFIG.match(statement.text))


def resets(text: str) -> tuple[str, ...]:
    """Return which of search_path and row_security a SET or RESET sets back to the default."""
    if not _SETS_BACK.search(text):
        return ()
    stmt = parse(text).stmts[0].stmt.variable_set_stmt
    if stmt.kind == pb.VAR_RESET_ALL:
        return _SURROUNDINGS
    is_back = stmt.kind in (pb.VAR_RESET, pb.VAR_SET_DEFAULT)
    return tuple(name for name in _SURROUNDINGS if is_back and stmt.name.lower() == name)


def _more_than_an_insert(stmt: Any) -> str:
    """Name an INSERT that may change existing rows; return an empty string if it only adds."""
    if stmt.on_conflict_clause.action == pb.ONCONFLICT_UPDATE:
        return "INSERT … ON CONFLICT DO UPDATE"
    queries = (node.common_table_expr.ctequery for node in stmt.with_clause.ctes)
    kinds = (query.WhichOneof("node").removesuffix("_stmt").upper() for query in queries)
    return next((f"INSERT … WITH … {kind}" for kind in kinds if kind != "SELECT"), "")


def _classify_transaction(stmt: Any) -> tuple[Mode, str]:
    word = pb.TransactionStmtKind.Name(stmt.kind).removeprefix("TRANS_STMT_").replace("_", " ")
    if word in ("BEGIN", "START"):
        impossible = why_impossible("transaction_stmt", stmt)
        return (Mode.REFUSED, impossible) if impossible else (Mode.BEGIN, word)
    if word == "COMMIT" and not stmt.chain:
        return Mode.COMMIT, word
    return Mode.REFUSED, f"{word} with options" if word == "COMMIT" else word


def _refused_setting(stmt: Any) -> str:
    """Name a SET that no step may contain; return an empty string for others."""
    misread = f"SET {stmt.name.lower()}" if _is_misread(stmt) else ""
    return misread or why_impossible("variable_set_stmt", stmt)


def _autocommit_name(kind: str, stmt: Any) -> str:
    return next((name for k, name, is_so in _AUTOCOMMIT if k == kind and is_so(stmt)), "")


def _always(_stmt: Any) -> bool:
    return True


def _of_everything(stmt: Any) -> bool:
    return not stmt.HasField("relation")


def detaches_concurrently(stmt: Any) -> bool:
    """Whether an ALTER TABLE is DETACH PARTITION … CONCURRENTLY."""
    commands = commands_of(stmt)
    return any(
        c.subtype == pb.AT_DetachPartition and getattr(c, "def").partition_cmd.concurrent
        for c in commands
    )


def _is_misread(stmt: Any) -> bool:
    """Whether after this setting the server would read the text differently from the parser."""
    values = [a.a_const.sval.sval.lower() for a in stmt.args]
    match stmt.name.lower():
        case "standard_conforming_strings":
            return values not in (["on"], ["true"], ["yes"])
        case "client_encoding":
            return values not in ([], ["utf8"], ["utf-8"], ["unicode"])
    return False


def _names(option: str, attribute: str) -> Callable[[Any], bool]:
    return lambda stmt: any(d.def_elem.defname == option for d in getattr(stmt, attribute))


def _is_on(option: str, attribute: str, *, unless_named: bool) -> Callable[[Any], bool]:
    """Return a test for a boolean option in the syntax of CREATE SUBSCRIPTION and REINDEX."""

    def is_on(stmt: Any) -> bool:
        named = [d.def_elem for d in getattr(stmt, attribute) if d.def_elem.defname == option]
        return not _says_no(named[0].arg) if named else unless_named

    return is_on


def _says_no(arg: Any) -> bool:
    if arg.WhichOneof("node") == "integer":
        return not arg.integer.ival
    word = arg.type_name.names[-1].string if arg.type_name.names else arg.string
    return word.sval.lower() in ("false", "off", "no", "0")


def _refreshes(stmt: Any) -> bool:
    changes = pb.AlterSubscriptionType.Name(stmt.kind).endswith("_PUBLICATION")
    refreshes = _is_on("refresh", "options", unless_named=True)(stmt)
    return bool(stmt.kind == pb.ALTER_SUBSCRIPTION_REFRESH or (changes and refreshes))


def _connects(stmt: Any) -> bool:
    options = (_is_on(name, "options", unless_named=True) for name in ("connect", "create_slot"))
    return all(is_on(stmt) for is_on in options)


# What cannot be executed inside a transaction block, by the parser's node.
_AUTOCOMMIT: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    ("index", "CREATE INDEX CONCURRENTLY", lambda stmt: bool(stmt.concurrent)),
    ("drop", "DROP INDEX CONCURRENTLY", lambda stmt: bool(stmt.concurrent)),
    ("reindex", "REINDEX CONCURRENTLY", _is_on("concurrently", "params", unless_named=False)),
    ("reindex", "REINDEX of a schema or a database", _of_everything),
    ("vacuum", "VACUUM", lambda stmt: bool(stmt.is_vacuumcmd)),
    ("cluster", "CLUSTER of every table", _of_everything),
    ("discard", "DISCARD ALL", lambda stmt: bool(stmt.target == pb.DISCARD_ALL)),
    ("alter_table", "DETACH PARTITION CONCURRENTLY", detaches_concurrently),
    ("alter_database", "ALTER DATABASE … SET TABLESPACE", _names("tablespace", "options")),
    ("alter_subscription", "ALTER SUBSCRIPTION … REFRESH", _refreshes),
    ("createdb", "CREATE DATABASE", _always),
    ("dropdb", _DROP_DATABASE, _always),
    ("alter_system", "ALTER SYSTEM", _always),
    ("create_table_space", "CREATE TABLESPACE", _always),
    ("drop_table_space", "DROP TABLESPACE", _always),
    ("create_subscription", "CREATE SUBSCRIPTION", _connects),
    ("drop_subscription", "DROP SUBSCRIPTION", _always),
)
