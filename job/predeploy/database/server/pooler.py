"""Poolers: whether one stands before the server, in which mode, and what leads round it.

A pooler gives its clients a cancel key of its own, so the pid that libpq knows is not that of the
backend which answers. A direct connection is known by that at no cost. In transaction mode a server
connection is ours from BEGIN to COMMIT only: whoever begins next gets it, which proves the mode.
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
# Who waits longer for a pool may be waiting for himself, and keeps an app from it meanwhile.
_PATIENCE_S = 10
# In a busy pool one round may miss it that others have had our backend, but not each time.
_ROUNDS = 5
_PAUSE_S = 0.005


class Pooling(Enum):
    """What stands between us and the server; SESSION is what is not proved to be TRANSACTION."""

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
    """Find what stands before the server, through two idle connections.

    `backend_pid` is who has answered on `work`, where that is known: on a direct connection nothing
    is asked then. Raises NotObtainedError (75) when a pooler does not serve both connections.
    """
    if not _is_pooled(work, endpoint, backend_pid):
        return Pooling.NONE
    pooling = _mode(work, guard, endpoint, budget)
    log.info(f"{endpoint.variable} leads through a pooler in {pooling.value} mode")
    return pooling


def served_by(conn: Connection, endpoint: Endpoint, budget: Deadline, sql: str = _PID) -> int:
    """Return the pid of the backend that serves us; `sql` ends with the question for it.

    Raises NotObtainedError (75) when a pooler has none for us: its pool is too small, or full.
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
    """Return the first other address that leads to the same database, as the same role, directly.

    None, without asking, where this one does so already. The proof is that our own backend is seen
    from there: an address that only looks alike may be that of another app.
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
    # The way is another, and not what the names mean.
    return replace(direct, search_path=settings.endpoint.search_path) if direct else None


def lacks_sessions(work: Connection, endpoint: Endpoint) -> bool:
    """Say whether a pooler stands there that has transactions for us and no sessions.

    Raises NotObtainedError (75) when it does not even serve two connections.
    """
    budget = Deadline.after(_PATIENCE_S)
    if not _is_pooled(work, endpoint, None):
        return False
    with wire.closing(connect_beside(endpoint)) as other:
        return _mode(work, other, endpoint, budget) is Pooling.TRANSACTION


def no_session(what: str, endpoint: Endpoint) -> str:
    """Say why `what` cannot run behind a pooler in transaction mode, and what to do."""
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
    """Watch whether the backend of `work` is given to others while that is idle.

    To us, as soon as we begin on `guard`; or to other clients, who then leave their last query on
    it; or they keep it, and `work` gets another one.
    """
    for _ in range(_ROUNDS):
        mark = f"/* {secrets.token_hex(8)} */"
        before = served_by(work, endpoint, budget, f"{_PID} {mark}")
        time.sleep(_PAUSE_S)
        other = served_by(guard, endpoint, budget, f"begin; {_PID}")
        # The last question would wait for ever where the pool has one connection: not asked then.
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
    """Say whether nothing has run in a backend since the query with `mark`, as far as one sees."""
    ((query,),) = wire.ask(
        guard,
        f"select max(query) from pg_catalog.pg_stat_activity where pid = {pid}",
    )
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
