"""One run, from the first connection to the report: connect, settled?, lock, and the loop.

What a settled run does not need is imported behind the lock.
"""

from collections.abc import Callable

import structlog
import tenacity

from job.database import lock, settled, wire
from job.database.connection import connect, connect_beside
from job.deadline import Deadline
from job.errors import ConnectionLostError, Interrupted, JobError
from job.exit_codes import ExitCode
from job.journal import Journal
from job.plan import Outcome
from job.report import Report
from job.settings import Settings
from job.sources import Sources

log = structlog.get_logger()

_CONNECTIONS = 3  # a server that dies under the same statement each time is not tried for ever


def run(settings: Settings, sources: Sources) -> Report:
    """Make the database ready. Always returns a report; what was committed stays committed.

    A lost connection is opened again, and the ledger tells what has still to be done. Only a bug
    of ours is raised.
    """
    return _report(
        Journal(settings, sources, Deadline.after(settings.deadline_s)), _connect_and_run
    )


def adopt(settings: Settings, sources: Sources) -> Report:
    """Write down what the baseline says is done in a database from before its ledger; run nothing.

    Reports and reconnects as `run` does. Ends with 65 where there is nothing to adopt.
    """
    deadline = Deadline.after(settings.deadline_s)
    return _report(Journal(settings, sources, deadline, command="adopt"), _connect_and_adopt)


def _report(this: Journal, attempt: Callable[[Journal], Report]) -> Report:
    reconnecting = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(ConnectionLostError),
        stop=tenacity.stop_after_attempt(_CONNECTIONS),
        wait=tenacity.wait_random_exponential(multiplier=0.5, min=0.25, max=5),
        before_sleep=lambda _: log.warning("the connection was lost; connecting again"),
        reraise=True,
    )
    try:
        return reconnecting(attempt, this)
    except (JobError, Interrupted) as stop:
        return this.stopped(stop)


def _connect_and_run(this: Journal) -> Report:
    settings, endpoint = this.settings, this.settings.endpoint
    with wire.closing(connect(endpoint, this.deadline.part(settings.connect_budget_s))) as work:
        this.server_version = work.info.server_version
        log.info(f"connected to {endpoint.target}", by=endpoint.variable)

        def is_settled() -> bool:
            return settled.is_settled(work, settings, this.sources)

        if is_settled():
            return this.report(Outcome.SETTLED, ExitCode.OK)
        with wire.closing(connect_beside(endpoint)) as guard:
            budget = this.deadline.part(settings.lock_budget_s)
            if not lock.obtain(guard, settings.ledger_schema, budget, is_settled):
                return this.report(Outcome.SETTLED, ExitCode.OK)
            from job.pipeline import run_locked  # noqa: PLC0415 - the parser is slow to import

            return run_locked(this, work, guard)


def _connect_and_adopt(this: Journal) -> Report:
    from job.pipeline import adopt_locked  # noqa: PLC0415 - the parser is slow to import

    settings, endpoint = this.settings, this.settings.endpoint
    connect_budget = this.deadline.part(settings.connect_budget_s)
    with (
        wire.closing(connect(endpoint, connect_budget)) as work,
        wire.closing(connect_beside(endpoint)) as guard,
    ):
        this.server_version = work.info.server_version
        budget = this.deadline.part(settings.lock_budget_s)
        lock.obtain(guard, settings.ledger_schema, budget, lambda: False)
        return adopt_locked(this, work, guard)
