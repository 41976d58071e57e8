"""Bounds how long a step that waits for its locks blocks other sessions.

The lock timeout bounds one wait. A step of four statements may wait four times, and a session that
queues for its first table waits through all of that. So all waits of a transaction that holds, or
queues for, a lock that blocks readers or writers share one lock timeout. The server has no setting
for that; it is watched from another connection, and a step is still one message.
"""

import time
from dataclasses import replace

from predeploy.contract.plan import Failure
from predeploy.database.server import wire
from predeploy.database.server.failure import was_cancelled
from predeploy.database.server.rows import typed
from predeploy.database.server.wire import Connection

LOCK_NOT_AVAILABLE = "55P03"
_JUST_S = 2.0
_STRONG = "'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'"


class LockWaitBudget:
    """Adds up how long a transaction has waited while blocking others; cancels it in time."""

    def __init__(self, guard: Connection, allowance_s: float) -> None:
        """Allow each transaction `allowance_s`, and watch it through `guard`."""
        self._guard = guard
        self._allowance_s = allowance_s
        self._transaction = ""
        self._waited_s = 0.0
        self._looked_s = 0.0
        self._has_cancelled = False
        self._seen_waiting_s = 0.0

    def is_used_up(self, watched: str) -> bool:
        """Check once more whether the backend waits; return whether it has waited for too long.

        `watched` is a query for its pid.

        A backend seen waiting counts as waiting since the last check: short waits are missed as
        often as they are counted in full.
        """
        looked_s = time.monotonic()
        rows = wire.ask(self._guard, _waiting_sql(watched))
        if rows:
            self._seen_waiting_s = looked_s
            ((transaction, seconds),) = typed(tuple[str, float], rows)
            # A new transaction starts with a new allowance.
            if transaction == self._transaction:
                self._waited_s += looked_s - self._looked_s
            else:
                self._transaction, self._waited_s = transaction, seconds
        self._looked_s = looked_s
        return bool(rows) and self._waited_s >= self._allowance_s

    def has_just_waited(self) -> bool:
        """Whether the backend was waiting at one of the last looks, before it gave up."""
        return time.monotonic() - self._seen_waiting_s < _JUST_S

    def cancel(self, watched: str) -> None:
        """Cancel the backend's statement. The server ignores that between two statements."""
        self._has_cancelled = True
        wire.ask(self._guard, f"select pg_catalog.pg_cancel_backend(w.pid) from ({watched}) w(pid)")

    def tell(self, failure: Failure) -> Failure:
        """Report a cancellation by this budget as locks that were not obtained in time."""
        if not self._has_cancelled or not was_cancelled(failure):
            return failure
        self._has_cancelled = False
        return replace(
            failure,
            sqlstate=LOCK_NOT_AVAILABLE,
            message=f"the step has waited {self._allowance_s:g} s for its locks in all, while it "
            "kept others from its tables",
        )


def _waiting_sql(watched: str) -> str:
    """Return a query of the transaction and of how long it has waited now.

    It returns no row unless the backend waits and other sessions may wait for it. A table that the
    transaction has created is invisible to other sessions: none waits for that.
    """
    return f"""
        select min(l.virtualtransaction),
               max(extract(epoch from clock_timestamp() - l.waitstart))
        from pg_catalog.pg_locks l
        left join pg_catalog.pg_class c on c.oid = l.relation
        where l.pid in ({watched})
        having bool_or(not l.granted) and bool_or(c.oid is not null and l.mode in ({_STRONG}))"""
