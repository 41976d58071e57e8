"""Watches a step that waits: names who is in its way, and says now and then that it still runs."""

from dataclasses import replace

import structlog

from predeploy.contract.plan import Failure
from predeploy.contract.quoting import literal
from predeploy.database.server import wire
from predeploy.database.server.pooler import Pooling
from predeploy.database.server.transaction import step_application
from predeploy.database.server.wire import Connection
from predeploy.database.session.lock_wait_budget import LockWaitBudget
from predeploy.database.session.other_tools import let_go
from predeploy.database.session.run_context import RunContext

log = structlog.get_logger()

# In ticks of wire.send, a quarter of a second each.
_FIRST_LOOKS = (1, 4)
_LOOK_EVERY = 8
_TELL_EVERY = 120
_NOBODY = "no blocking session was seen"
# An autovacuum worker has no name, and says what it does; what a client runs may hold a secret and
# is not asked. Of a prepared transaction only the pid 0 is known.
_NAME = """case when b.pid = 0 then 'a prepared transaction, see pg_prepared_xacts'
    when a.backend_type = 'autovacuum worker' then a.query
    when a.application_name = '' and a.backend_type <> 'client backend' then a.backend_type
    else a.application_name end"""


def watch_over(
    context: RunContext, label: str, hold: LockWaitBudget | None = None
) -> "LockMonitor":
    """Watch the backend that does the work of `context`.

    Behind a pooler it is known by the name that every step bears, which only we run under the lock.
    """
    worker = f"select {context.work.info.backend_pid}"
    if context.pooling is not Pooling.NONE:
        name = literal(step_application(context.settings.ledger_schema))
        worker = f"""select pid from pg_catalog.pg_stat_activity
            where datname = current_database() and application_name = {name}"""
    return LockMonitor(context.guard, worker, label, hold)


class LockMonitor:
    """Looks over the shoulder of a backend, through another connection.

    `blockers` tells who was last seen in its way, for a log line.
    """

    def __init__(
        self, guard: Connection, watched: str, label: str, hold: LockWaitBudget | None = None
    ) -> None:
        """Watch through `guard`, whose transaction stays open and idle.

        `watched` is a query for the pid of the backend: behind a pooler it changes.
        """
        self.blockers = _NOBODY
        self._guard = guard
        self._guard_pid = "pg_catalog.pg_backend_pid()"
        self._looker = guard
        self._watched = watched
        self._label = label
        self._hold = hold
        self._ticks = 0
        self._told = ""

    def follow(self, pid: int, context: RunContext) -> None:
        """Watch the backend that runs a step outside a transaction, through the idle work.

        CONCURRENTLY waits for whoever it has seen with a snapshot until their transaction ends. So
        it would wait for the guard, for ever, when it came by while that looks.
        """
        self._watched = f"select {pid}"
        self._looker = context.work
        self._guard_pid = str(context.guard.info.backend_pid)
        if context.pooling is not Pooling.NONE:
            self._guard_pid = str(
                wire.ask(context.guard, "select pg_catalog.pg_backend_pid()")[0][0]
            )

    def tick(self) -> None:
        """Look, when it is time to; end a wait that others have stood behind for long enough."""
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
        """Return the failure, or, where it was this watch that has cancelled, why it did."""
        return self._hold.tell(failure) if self._hold else failure

    def explain(self, failure: Failure) -> Failure:
        """Return the failure with the blocker's name and what to do about it, if there was one."""
        if self.blockers == _NOBODY:
            return replace(failure, message=f"{failure.message}; {self.blockers}")
        return replace(
            failure,
            message=f"{failure.message}; {self.blockers}",
            remedy="end that session (select pg_terminate_backend(pid)) or wait for it; run again",
        )

    def _look(self) -> None:
        # The statistics views are frozen at a transaction's first look, and the guard's is open.
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
        if pids != self._told:
            log.info(f"{self._label} waits for a lock, {self.blockers}")
            self._told = pids
        if any(is_waiting_for_us == "t" for *_, is_waiting_for_us in rows):
            # They wait for the guard, and the step for them: nobody else would end that.
            log.warning(f"{self._label} lets another tool migrate at the same time: it would block")
            let_go(self._guard)
