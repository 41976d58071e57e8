"""Functions with side effects that READ ONLY does not refuse, or not on every server.

Tested on PostgreSQL 15 to 18: up to 15 a read-only transaction can write large objects, and on all
of them it can signal other sessions, connect to other servers, write files and WAL, and leave
behind what no rollback undoes. Effects of user-defined functions are not seen.
"""

import re
from collections.abc import Iterator
from typing import Any

import postgast
from postgast import pg_query_pb2 as pb

from predeploy.sql.parser.tree import nodes_of

# fmt: off
_NAMES = frozenset((
    "nextval", "setval", "set_config",
    "lo_creat", "lo_create", "lo_from_bytea", "lo_import", "lo_export", "lo_put", "lo_truncate",
    "lo_truncate64", "lo_unlink", "lowrite",
    "pg_advisory_lock", "pg_advisory_lock_shared", "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared", "pg_advisory_unlock", "pg_advisory_unlock_shared",
    "pg_advisory_unlock_all",
    "pg_cancel_backend", "pg_terminate_backend", "pg_reload_conf", "pg_rotate_logfile",
    "pg_promote", "pg_wal_replay_pause", "pg_wal_replay_resume", "pg_log_backend_memory_contexts",
    "pg_switch_wal", "pg_create_restore_point", "pg_logical_emit_message",
    "pg_log_standby_snapshot",
    "pg_notify", "pg_backup_start", "pg_backup_stop", "pg_import_system_collations", "pg_nextoid",
    "pg_file_write", "pg_file_unlink", "pg_file_rename", "pg_file_sync",
    "brin_summarize_new_values", "brin_summarize_range", "brin_desummarize_range",
    "gin_clean_pending_list",
))
# fmt: on
# Prefixes, so that all functions of a family are covered.
_FAMILIES = (
    "dblink",
    "pg_stat_reset",
    "pg_replication_origin_",
    "pg_create_logical_replication_slot",
    "pg_create_physical_replication_slot",
    "pg_copy_logical_replication_slot",
    "pg_copy_physical_replication_slot",
    "pg_drop_replication_slot",
    "pg_replication_slot_advance",
    "pg_logical_slot_get_",
    "pg_restore_",
    "pg_clear_",
    "pg_set_",
)  # fmt: skip
_HARMLESS = frozenset(("pg_replication_origin_oid", "pg_replication_origin_progress"))
_CALL = re.compile(r'(?:(\w+)"?\s*\.\s*)?"?(\w+)"?\s*\(')


def acting_call(text: str) -> str:
    """Return the first function called by a query that has side effects; empty if there is none."""
    return next((name for schema, name in _calls(text) if _acts(schema, name)), "")


def _calls(text: str) -> Iterator[tuple[str, str]]:
    """Yield the schema and name of each function that is called."""
    try:
        nodes = nodes_of(text)
    except postgast.PgQueryError:  # the server may know a newer grammar
        yield from ((schema.lower(), name.lower()) for schema, name in _CALL.findall(text))
        return
    for node in nodes:
        if isinstance(node, pb.FuncCall):
            yield _named(node)


def _named(call: Any) -> tuple[str, str]:
    parts = [part.string.sval for part in call.funcname]
    return ("".join(parts[-2:-1]), parts[-1])


def _acts(schema: str, name: str) -> bool:
    """Whether a call has side effects: of a built-in function, or of dblink in any schema."""
    if schema not in ("", "pg_catalog") and not name.startswith("dblink"):
        return False
    return name in _NAMES or (name.startswith(_FAMILIES) and name not in _HARMLESS)
