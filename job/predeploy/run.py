"""One run, from the first connection to the report: connect, settled?, lock, and the loop.

Imports that a settled run does not need are deferred until the database is known not to be settled.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING

import structlog
import tenacity

from predeploy.contract.deadline import Deadline
from predeploy.contract.errors import (
    ConnectionLostError,
    DeniedError,
    EndedError,
    Interrupted,
    JobError,
    NoTransactionsError,
    interruption_behind,
)
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import LayerReport, Outcome
from predeploy.contract.report import Report
from predeploy.database.ledger import settled
from predeploy.database.server import pooler, wire
from predeploy.database.server.connection import connect, connect_beside
from predeploy.database.server.pooler import Pooling
from predeploy.database.server.wire import Connection
from predeploy.database.session import lock
from predeploy.journal import Journal
from predeploy.settings import Settings
from predeploy.settings.endpoint import Endpoint
from predeploy.sources import Sources

if TYPE_CHECKING:
    from predeploy.database.session.run_context import RunContext
    from predeploy.layers.migrating.settling import Correction

log = structlog.get_logger()

_CONNECTIONS = 3  # a statement that crashes the server each time must not be retried forever


def run(settings: Settings, sources: Sources) -> Report:
    """Make the database ready. Always returns a report; what was committed stays committed.

    A lost connection is reopened, and the ledger says what remains to be done. Raises only on a bug
    in predeploy.
    """
    return _report(
        Journal(settings, sources, Deadline.after(settings.deadline_s)), _connect_and_run
    )


def adopt(settings: Settings, sources: Sources) -> Report:
    """Record what the baseline says is done in a database older than its ledger; run nothing.

    Reports and reconnects as `run` does. Ends with 65 if there is nothing to adopt.
    """

    def act(journal: Journal, context: "RunContext") -> Report:
        from predeploy.pipeline import adopt_locked  # noqa: PLC0415 - not when settled

        return adopt_locked(journal, context)

    journal = Journal(settings, sources, Deadline.after(settings.deadline_s), command="adopt")
    return _report(journal, partial(_connect_and_act, act))


def settle(settings: Settings, sources: Sources, correction: "Correction", name: str) -> Report:
    """Correct the ledger's rows of the file `name`; run nothing.

    Reports and reconnects as `run` does. Ends with 65 if there is nothing to correct.
    """

    def act(journal: Journal, context: "RunContext") -> Report:
        from predeploy.pipeline import settle_locked  # noqa: PLC0415 - not when settled

        return settle_locked(journal, context, correction, name)

    journal = Journal(settings, sources, Deadline.after(settings.deadline_s), command="settle")
    return _report(journal, partial(_connect_and_act, act))


def _report(journal: Journal, attempt: Callable[[Journal], Report]) -> Report:
    def tell(state: tenacity.RetryCallState) -> None:
        lost = state.outcome.exception() if state.outcome else None
        journal.lost = lost if isinstance(lost, ConnectionLostError) else None
        log.warning(f"the connection was lost{journal.where}; connecting again")
        journal.works_on(None)

    reconnecting = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_lost),
        stop=tenacity.stop_after_attempt(_CONNECTIONS),
        wait=tenacity.wait_random_exponential(multiplier=0.5, min=0.25, max=5),
        before_sleep=tell,
        reraise=True,
    )
    try:
        report = reconnecting(_with_transactions, journal, attempt)
    except (Interrupted, Exception) as error:
        if stop := interruption_behind(error):
            return journal.stopped(stop)
        if not isinstance(error, JobError):
            raise
        report = journal.stopped(error)
    if journal.has_begun and not journal.has_ended:
        _end_without_lock(journal, report)
    return report


def _end_without_lock(journal: Journal, report: Report) -> None:
    """End the row of a run that has lost its lock; the run that holds it now has another row.

    Do nothing if the database could not be reached just now.
    """
    if report.exit_code is ExitCode.UNAVAILABLE:
        return
    from predeploy.pipeline import end_without_lock  # noqa: PLC0415 - not when settled

    try:
        with wire.closing(connect_beside(journal.settings.endpoint)) as conn:
            end_without_lock(journal, conn, report)
    except JobError as error:
        log.warning(f"the run's row could not be ended in the ledger: {error}")


def _is_lost(error: BaseException) -> bool:
    """Whether to reconnect: not after a signal, which may itself have cost the connection."""
    return isinstance(error, ConnectionLostError) and interruption_behind(error) is None


def _with_transactions(journal: Journal, attempt: Callable[[Journal], Report]) -> Report:
    """Attempt the run; if a pooler passes only single statements, look for a direct address."""
    try:
        return attempt(journal)
    except NoTransactionsError:
        with _connected(journal) as work:
            direct = pooler.way_round(work, journal.settings, None)
        if direct is None:
            raise
    _move(journal, direct)
    return attempt(journal)


def _connect_and_run(journal: Journal) -> Report:
    with _connected(journal) as work:
        reading = settled.read(work, journal.settings, journal.sources)
        journal.server_since = reading.server_since

        def is_settled() -> bool:
            nonlocal reading
            reading = settled.read(work, journal.settings, journal.sources)
            return reading.is_settled

        if reading.is_settled:
            return _settled(journal, reading)
        direct = pooler.way_round(work, journal.settings, reading.backend_pid)
        if direct is None:
            with _placed(journal, work, reading.backend_pid, is_settled) as context:
                if context is None:
                    return _settled(journal, reading)
                from predeploy.pipeline import run_locked  # noqa: PLC0415 - not when settled

                return run_locked(journal, context)
    _move(journal, direct)
    return _connect_and_run(journal)


def _settled(journal: Journal, reading: settled.Reading) -> Report:
    """Report a settled run, and repeat the findings that still hold."""
    for finding in reading.standing:
        say = log.info if finding.is_note else log.warning
        say(
            finding.message,
            code=finding.code,
            **({"next": finding.remedy} if finding.remedy else {}),
        )
    if reading.standing:
        journal.note(LayerReport("verify", findings=reading.standing))
    return journal.report(Outcome.SETTLED, ExitCode.OK)


def _connect_and_act(act: "Callable[[Journal, RunContext], Report]", journal: Journal) -> Report:
    """Run `act` under the lock, unless the database is settled."""
    with _connected(journal) as work:
        direct = pooler.way_round(work, journal.settings, None)
        if direct is None:
            with _placed(journal, work, None, lambda: False) as context:
                assert context is not None  # noqa: S101 - only a settled database gives up the lock
                return act(journal, context)
    _move(journal, direct)
    return _connect_and_act(act, journal)


@contextmanager
def _connected(journal: Journal) -> Iterator[Connection]:
    endpoint = journal.settings.endpoint
    budget = journal.deadline.part(journal.settings.connect_budget_s)
    with wire.closing(connect(endpoint, budget)) as work:
        journal.server_version = work.info.server_version
        log.info(f"connected to {endpoint.target}", by=endpoint.variable)
        with _advised(work, journal.settings):
            _require_another_server(journal, work)
            yield work


def _require_another_server(journal: Journal, work: Connection) -> None:
    """Raise EndedError if the last connection was terminated, but not by a server restart."""
    lost, journal.lost = journal.lost, None
    if lost and lost.was_ended and settled.server_since(work) == journal.server_since:
        raise EndedError(lost)


@contextmanager
def _advised(work: Connection, settings: Settings) -> Iterator[None]:
    """Add to a refusal what to grant, which is looked up only when a refusal occurs."""
    try:
        yield
    except DeniedError:
        from predeploy.database.catalog.advice import advised  # noqa: PLC0415 - not when settled

        with advised(work, settings.ledger_schema):
            raise


@contextmanager
def _placed(
    journal: Journal, work: Connection, backend_pid: int | None, is_settled: Callable[[], bool]
) -> Iterator["RunContext | None"]:
    """Hold the lock on a separate connection; yield None if no work is left."""
    # The parser is slow to import, so import it while waiting for the second connection and lock.
    Thread(target=import_module, args=("predeploy.pipeline",), daemon=True).start()
    # A settled run has looked at neither the ledger nor the locks of other tools.
    from predeploy.database.ledger import initial_state  # noqa: PLC0415 - not when settled
    from predeploy.database.session import other_tools  # noqa: PLC0415 - not when settled
    from predeploy.database.session.run_context import RunContext  # noqa: PLC0415 - as above

    settings, endpoint = journal.settings, journal.settings.endpoint
    with wire.closing(connect_beside(endpoint)) as guard:
        budget = journal.deadline.part(settings.lock_budget_s)
        pooling = pooler.pooling_of(work, guard, endpoint, backend_pid, budget)
        questions = (
            other_tools.SAVEPOINT,
            other_tools.histories_sql(journal.sources.tools, journal.sources.tool.table),
            initial_state.question_sql(settings.ledger_schema),
        )
        answers = lock.obtain(guard, settings.ledger_schema, budget, is_settled, questions)
        if answers is None:
            yield None
            return
        if pooling is Pooling.TRANSACTION:  # the lock occupies one of its server connections
            pooler.served_by(work, endpoint, budget)
        _, histories, found = answers
        # A command of the operator's takes its own tool's lock, and is not kept out of it.
        other_tools.exclude_others(guard, budget, [] if settings.command else histories)
        there = initial_state.parse(found)
        initial_state.require_trusted(guard, settings.ledger_schema, there)
        yield RunContext(work, guard, settings, journal.deadline, journal.id, there, pooling)


def _move(journal: Journal, direct: Endpoint) -> None:
    """Start over with the address that bypasses the pooler."""
    was = journal.settings.endpoint
    log.warning(
        f"{was.variable} leads through a pooler; going on with {direct.variable}, which leads to "
        "the same database directly",
        target=direct.target,
    )
    others = (was, *journal.settings.alternatives)  # no text may hold their secrets either
    journal.settings = replace(journal.settings, endpoint=direct, alternatives=others)
