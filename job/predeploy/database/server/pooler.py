"""Detects a pooler in front of the server and its mode, and finds a way around it.

A pooler gives each client its own cancel key, so the pid that libpq knows is not that of the
backend that answers. That identifies a direct connection at no cost. In transaction mode a server
connection is assigned only from BEGIN to COMMIT and is then given to the next client, which proves
the mode.
"""

import secrets
import time
from dataclasses import replace
from enum import Enum

import structlog

from predeploy.contract.deadline import Deadline
from predeploy.contract.errors import DatabaseRefusedError, NotObtainedError
from predeploy.database.server import wire
from predeploy.database.server.connection import connect_beside
from predeploy.database.server.wire import Connection
from predeploy.settings import Settings
from predeploy.settings.endpoint import Endpoint

log = structlog.get_logger()

_PID = "select pg_catalog.pg_backend_pid()"
# A client that waits longer for a pool may be waiting for its own connection, and blocks an app
# meanwhile.
_PATIENCE_S = 10
# In a busy pool one round may fail to show that others have used the backend, but not every round.
_ROUNDS = 5
_PAUSE_S = 0.005


class Pooling(Enum):
    """What is in front of the server; SESSION is any pooler not proved to be TRANSACTION."""

    NONE = "none"
    SESSION = "session"
    TRANSACTION = "transaction"


def pooling_of(
    work: Connection,
    guard: Connection,
    endpoint: Endpoint,
    backend_pid: int | None,
    budget: Deadline,
) -> Pooling:
    """Detect what is in front of the server, using two idle connections.

    `backend_pid` is the backend that has answered on `work`, if known: on a direct connection no
    query is then needed. Raises NotObtainedError (75) if a pooler does not serve both connections.
    """
    if not _is_pooled(work, endpoint, backend_pid):
        return Pooling.NONE
    pooling = _mode(work, guard, endpoint, budget)
    log.info(f"{endpoint.variable} leads through a pooler in {pooling.value} mode")
    return pooling


def served_by(conn: Connection, endpoint: Endpoint, budget: Deadline, sql: str = _PID) -> int:
    """Return the pid of the backend that serves the connection; `sql` ends with that query.

    Raises NotObtainedError (75) if the pooler has no free backend: its pool is too small, or full.
    """
    end = budget.part(_PATIENCE_S)

    def give_up() -> None:
        if end.left_s <= 0:
            raise NotObtainedError(
                f"{endpoint.variable} leads through a pooler that could not open another server "
                "connection: its pool is too small, or others use all of it; predeploy "
                "needs two at once, and a third for what runs outside a transaction; raise the "
                f"pool size (default_pool_size in PgBouncer), or {wire.DIRECTLY}"
            )

    ((pid,),) = wire.ask(conn, sql, on_tick=give_up)
    return int(pid or 0)


def way_round(work: Connection, settings: Settings, backend_pid: int | None) -> Endpoint | None:
    """Return the first alternative address that leads directly to the same database and role.

    Returns None, without a query, if the current address is direct. The proof is that the current
    backend is visible from there: an address that only looks similar may belong to another app.
    """
    others = settings.alternatives
    if not others or not _is_pooled(work, settings.endpoint, backend_pid):
        return None
    ((pid, since),) = wire.ask(
        work,
        """select pid, extract(epoch from backend_start) from pg_catalog.pg_stat_activity
        where pid = pg_catalog.pg_backend_pid()""",
    )
    ours = f"pid = {pid} and extract(epoch from backend_start) = {since}"
    direct = next((other for other in others if _leads_there(other, ours)), None)
    # The connection is another one; the names must still resolve as before.
    return replace(direct, search_path=settings.endpoint.search_path) if direct else None


def lacks_sessions(work: Connection, endpoint: Endpoint) -> bool:
    """Whether a pooler in transaction mode is in front, which offers no sessions.

    Raises NotObtainedError (75) if it does not even serve two connections.
    """
    budget = Deadline.after(_PATIENCE_S)
    if not _is_pooled(work, endpoint, None):
        return False
    with wire.closing(connect_beside(endpoint)) as other:
        return _mode(work, other, endpoint, budget) is Pooling.TRANSACTION


def no_session(what: str, endpoint: Endpoint) -> str:
    """Return why `what` cannot run behind a pooler in transaction mode, and what to do."""
    return (
        f"{what} has to run outside a transaction, in a session of its own, and "
        f"{endpoint.variable} leads through a pooler in transaction mode, where there is none; "
        f"{wire.DIRECTLY} (or DIRECT_URL, or DATABASE_URL_UNPOOLED), or let the pooler give "
        "predeploy's user sessions"
    )


def _is_pooled(conn: Connection, endpoint: Endpoint, backend_pid: int | None) -> bool:
    pid = backend_pid or served_by(conn, endpoint, Deadline.after(_PATIENCE_S))
    return conn.info.backend_pid != pid


def _mode(work: Connection, guard: Connection, endpoint: Endpoint, budget: Deadline) -> Pooling:
    """Observe whether the idle backend of `work` is given to others.

    It may be given to predeploy itself, as soon as a transaction begins on `guard`; or to other
    clients, who leave their last query on it; or they keep it, and `work` gets another one.
    """
    for _ in range(_ROUNDS):
        mark = f"/* {secrets.token_hex(8)} */"
        before = served_by(work, endpoint, budget, f"{_PID} {mark}")
        time.sleep(_PAUSE_S)
        other = served_by(guard, endpoint, budget, f"begin; {_PID}")
        # The last question would wait forever in a pool with one connection; it is not reached
        # then.
        is_shared = (
            other == before
            or not _was_last_asked(guard, before, mark)
            or served_by(work, endpoint, budget) != before
        )
        wire.roll_back(guard)
        if is_shared:
            return Pooling.TRANSACTION
    return Pooling.SESSION


def _was_last_asked(guard: Connection, pid: int, mark: str) -> bool:
    """Whether no other query has visibly run in a backend since the one with `mark`."""
    ((query,),) = wire.ask(
        guard,
        f"select max(query) from pg_catalog.pg_stat_activity where pid = {pid}",
    )
    # No query is shown if the session is gone or its query hidden, which proves nothing.
    return not query or mark in query


def _leads_there(other: Endpoint, ours: str) -> bool:
    try:
        with wire.closing(connect_beside(other)) as conn:
            ((pid, is_there),) = wire.ask(
                conn,
                f"""select pg_catalog.pg_backend_pid(), exists (
                    select from pg_catalog.pg_stat_activity where {ours}
                    and datname = current_database() and usename = session_user)""",
            )
            return is_there == "t" and conn.info.backend_pid == int(pid or 0)
    except DatabaseRefusedError as refused:
        log.info(f"it does not bypass the pooler: {refused}", variable=other.variable)
        return False
