"""Watches a waiting step: names the sessions that block it, and logs that it still runs."""

from dataclasses import replace

import structlog

from predeploy.contract.plan import Failure
from predeploy.database.server import wire
from predeploy.database.server.wire import Connection
from predeploy.database.session.lock_wait_budget import LockWaitBudget
from predeploy.database.session.other_tools import let_go

log = structlog.get_logger()

# In ticks of wire.send, a quarter of a second each.
_FIRST_LOOKS = (1, 4)
_LOOK_EVERY = 8
_TELL_EVERY = 120
_NOBODY = "no blocking session was seen"
# An autovacuum worker has no name, but its query says what it does; a client's query may hold a
# secret and is not read. A prepared transaction is known only by pid 0.
_NAME = """case when b.pid = 0 then 'a prepared transaction, see pg_prepared_xacts'
    when a.backend_type = 'autovacuum worker' then a.query
    when a.application_name = '' and a.backend_type <> 'client backend' then a.backend_type
    else a.application_name end"""


class LockMonitor:
    """Watches a backend through another connection.

    `blockers` names the sessions last seen blocking it, for a log line.
    """

    def __init__(
        self, guard: Connection, watched: str, label: str, hold: LockWaitBudget | None = None
    ) -> None:
        """Watch through `guard`, whose transaction stays open and idle.

        `watched` is a query for the backend's pid, which changes behind a pooler.
        """
        self.blockers = _NOBODY
        self._guard = guard
        self._guard_pid = "pg_catalog.pg_backend_pid()"
        self._looker = guard
        self._watched = watched
        self._label = label
        self._hold = hold
        self._ticks = 0
        self._logged_pids = ""

    def follow(self, watched: str, looker: Connection, guard_pid: int) -> None:
        """Watch the backends that a query names, through another idle connection.

        CONCURRENTLY waits for every transaction that it has seen with a snapshot. If it saw the
        guard while that runs a query, it would wait for the guard forever.
        """
        self._watched = watched
        self._looker = looker
        self._guard_pid = str(guard_pid)

    def limit(self, hold: LockWaitBudget | None) -> None:
        """Cancel from now on what waits for longer than `hold` allows; None: nothing is."""
        self._hold = hold

    def tick(self) -> None:
        """Look if it is time to; cancel a wait that has blocked other sessions for too long."""
        self._ticks += 1
        if self._hold and self._hold.is_used_up(self._watched):
            self._look()
            self._hold.cancel(self._watched)
            return
        if self._ticks in _FIRST_LOOKS or self._ticks % _LOOK_EVERY == 0:
            self._look()
        if self._ticks % _TELL_EVERY == 0:
            log.info(f"{self._label} still runs", seconds=self._ticks // 4)

    def judge(self, failure: Failure) -> Failure:
        """Return the failure; if this monitor cancelled the step, with the actual reason."""
        return self._hold.tell(failure) if self._hold else failure

    def explain(self, failure: Failure) -> Failure:
        """Return the failure with the blocking sessions and a remedy, if any were seen."""
        if self.blockers == _NOBODY:
            return replace(failure, message=f"{failure.message}; {self.blockers}")
        return replace(
            failure,
            message=f"{failure.message}; {self.blockers}",
            remedy="end that session (select pg_terminate_backend(pid)) or wait for it; run again",
        )

    def _look(self) -> None:
        # The statistics views are frozen at a transaction's first access, and the guard's is open.
        rows = wire.ask(
            self._looker,
            f"""select pg_catalog.pg_stat_clear_snapshot();
            select distinct b.pid, {_NAME}, a.state,
                   host(a.client_addr), extract(epoch from clock_timestamp() - a.xact_start)::int,
                   {self._guard_pid} = any (pg_catalog.pg_blocking_pids(b.pid))
            from ({self._watched}) w(pid), unnest(pg_catalog.pg_blocking_pids(w.pid)) b(pid)
            left join pg_catalog.pg_stat_activity a on a.pid = b.pid
            order by b.pid""",
        )
        if not rows:
            return
        self.blockers = "blocked by " + "; ".join(
            f"pid {pid} ({application or 'unnamed'}, {address or 'local'}, "
            f"{state or 'state hidden'}, in its transaction for {age or '?'} s)"
            for pid, application, state, address, age, _ in rows
        )
        pids = ",".join(str(row[0]) for row in rows)
        if pids != self._logged_pids:
            log.info(f"{self._label} waits for a lock, {self.blockers}")
            self._logged_pids = pids
        if any(is_waiting_for_us == "t" for *_, is_waiting_for_us in rows):
            # They wait for the guard, and the step waits for them: nothing else would resolve that.
            log.warning(f"{self._label} lets another tool migrate at the same time: it would block")
            let_go(self._guard)
