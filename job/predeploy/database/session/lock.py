"""The advisory lock: one run at a time on one ledger; waiters know what they wait for.

A separate connection holds `pg_try_advisory_xact_lock` in an open, idle READ COMMITTED transaction.
It holds no snapshot, so it delays no CREATE INDEX CONCURRENTLY, and it pins its server connection,
so it also works with transaction pooling. Waiters poll: one blocked inside the server would hold a
snapshot and deadlock with CONCURRENTLY.
"""

import hashlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from predeploy.contract.deadline import Deadline
from predeploy.contract.errors import NotObtainedError
from predeploy.contract.quoting import literal
from predeploy.database.server import wire
from predeploy.database.server.rows import Row, typed
from predeploy.database.server.transaction import (
    STEP_NAMED,
    command_applications,
    settings_sql,
    step_application,
)
from predeploy.database.server.wire import Connection

log = structlog.get_logger()

_POLL_S = (0.2, 0.5)
_REPEAT_S = 10
_STEP_SHOWN = 80  # characters


@dataclass(frozen=True, slots=True)
class Holder:
    """The session that holds the lock, as far as the role may see; ages in seconds.

    Its statement is not read, as that may hold a secret; only the step, if predeploy runs one.
    """

    pid: int
    application: str
    address: str
    age_s: int
    step: str = ""

    def __str__(self) -> str:
        """Describe it for a log line."""
        who = f"pid {self.pid} ({self.application or 'unnamed'}, {self.address or 'local'})"
        doing = f", in {self.step}" if self.step else ""
        return f"{who} for {self.age_s} s{doing}"


def lock_key(ledger_schema: str) -> int:
    """Return the lock's key. Frozen: images of all versions must agree on it."""
    digest = hashlib.sha256(f"predeploy:{ledger_schema}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def obtain(
    conn: Connection,
    ledger_schema: str,
    budget: Deadline,
    is_settled: Callable[[], bool],
    questions: Sequence[str] = (),
) -> list[list[Row]] | None:
    """Poll until the lock is obtained, or until `is_settled` says that no work is left (None).

    The `questions` are sent in the same message as the lock request; the rows of each are returned
    once the lock is obtained. A waiter calls `is_settled` once more with the lock in hand, because
    the previous holder may just have finished.

    Raises NotObtainedError (75), naming the holder, when the budget is used up.
    """
    key = lock_key(ledger_schema)
    told: tuple[int, float] = (0, 0.0)
    has_waited = False
    while True:
        answers = _try(conn, key, ledger_schema, questions)
        if answers is not None:
            return None if has_waited and is_settled() else answers
        has_waited = True
        holder = find_holder(conn, ledger_schema)
        if is_settled():
            return None
        if budget.left_s <= 0:
            raise NotObtainedError(
                "the lock was not obtained within its budget; it is held by "
                f"{holder or 'no session now'}; wait for that run, or end it with "
                f"select pg_terminate_backend({holder.pid if holder else 'pid'})"
            )
        if holder and (holder.pid != told[0] or time.monotonic() - told[1] > _REPEAT_S):
            log.info(f"waiting for the lock, held by {holder}", holder_pid=holder.pid)
            told = (holder.pid, time.monotonic())
        # A jitter keeps waiters from asking in step.
        time.sleep(min(random.uniform(*_POLL_S), budget.left_s))  # noqa: S311


def find_holder(conn: Connection, ledger_schema: str) -> Holder | None:
    """Return the session that holds this ledger's lock, or that still runs a dead job's step."""
    return _find(conn, lock_key(ledger_schema), _stray_sql(ledger_schema))


def holder_of(conn: Connection, key: int) -> Holder | None:
    """Return the other session that holds this advisory lock in this database."""
    return _find(conn, key, "false")


def _stray_sql(ledger_schema: str) -> str:
    """Return a condition: session `a` runs a step, or a command, of this ledger for a dead job.

    Any session can use that application name, but only a role that may write to the ledger runs its
    steps. An idle session runs none: a pooler may keep it, with its name, for the next client. The
    state of other roles' sessions may be hidden, but their locks are visible, and every transaction
    holds one.
    """
    return f"""((a.application_name = {literal(step_application(ledger_schema))}
            or starts_with(a.application_name, {literal(command_applications(ledger_schema))}))
        and (a.usesysid = (select r.oid from pg_catalog.pg_roles r where r.rolname = session_user)
             or exists (
                select from pg_catalog.pg_class c
                join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                where n.nspname = {literal(ledger_schema)} and c.relname = 'migration'
                  and pg_catalog.has_table_privilege(a.usesysid, c.oid, 'insert')))
        and coalesce(nullif(a.state, 'disabled') <> 'idle', exists (
            select from pg_catalog.pg_locks busy
            where busy.pid = a.pid and busy.locktype = 'virtualxid')))"""


def _find(conn: Connection, signed_key: int, stray: str) -> Holder | None:
    # pg_locks shows a bigint key as two halves, with objsubid 1.
    key = signed_key % 2**64
    rows = wire.ask(
        conn,
        f"""select pg_catalog.pg_stat_clear_snapshot();
        select a.pid, a.application_name, host(a.client_addr),
               extract(epoch from clock_timestamp() - a.xact_start)::int,
               left(substring(a.query from {literal(STEP_NAMED)}), {_STEP_SHOWN})
        from pg_catalog.pg_stat_activity a
        left join pg_catalog.pg_locks l on l.pid = a.pid and l.locktype = 'advisory' and l.granted
          and l.classid = {key >> 32}::oid and l.objid = {key & 0xFFFFFFFF}::oid
          and l.objsubid = 1
        where a.datname = current_database() and a.pid <> pg_catalog.pg_backend_pid()
          and (l.pid is not null or {stray})
        order by case when {stray} then 0 else 1 end, a.xact_start
        limit 1""",
    )
    if not rows:
        return None
    return typed(Holder, rows)[0]


def _try(
    conn: Connection, key: int, ledger_schema: str, questions: Sequence[str]
) -> list[list[Row]] | None:
    """Try once. A step that still runs for a dead job counts as a holder, too."""
    is_ours = f"""select pg_catalog.pg_try_advisory_xact_lock({key}) and not exists (
            select from pg_catalog.pg_stat_activity a
            where a.datname = current_database() and a.pid <> pg_catalog.pg_backend_pid()
              and {_stray_sql(ledger_schema)})"""
    opening = ("begin isolation level read committed", settings_sql({}))
    tried, *answers = wire.ask_all(conn, (is_ours, *questions), opening=opening)
    if tried == [("t",)]:
        return answers
    wire.roll_back(conn)
    return None
