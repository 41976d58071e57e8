"""Runs a step outside a transaction, on a separate connection, between two states of its row.

The row is committed before the statement runs, and marked as done afterwards. If the job dies in
between, the next one proves from the catalog how the statement ended. An index that a failed build
left invalid is dropped and built again, never skipped; one that another session is building is left
alone.
"""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import structlog
from psycopg.errors import QueryCanceled

from predeploy import sql
from predeploy.contract.deadline import Deadline
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Drift, Failure, StepResult
from predeploy.contract.step import Online, OnlineMigration, Step, SyncStep
from predeploy.database.catalog import operator_names
from predeploy.database.catalog.proof import Proof, is_being_built, left_behind, prove
from predeploy.database.catalog.shape import Unproved, compare
from predeploy.database.ledger import ledger
from predeploy.database.sentinel import values
from predeploy.database.server import wire
from predeploy.database.server.connection import connect_beside
from predeploy.database.server.failure import failure_of, shown
from predeploy.database.server.path import OWN_PATH
from predeploy.database.server.pooler import Pooling, served_by
from predeploy.database.server.transaction import row_security_sql, session_sql, step_application
from predeploy.database.server.wire import Connection
from predeploy.database.session import operator_settings
from predeploy.database.session.fence import STOPPED, fence_sql, restart_sql
from predeploy.database.session.lock_monitor import LockMonitor
from predeploy.database.session.run_context import RunContext
from predeploy.judgment.verdict import judge_drifts
from predeploy.sql import Creation
from predeploy.sql.statement.autocommit_target import AutocommitTarget, Detach, IndexBuild, Rebuild

log = structlog.get_logger()

_POLL_S = 0.5
_DROP_TRIES = 3
_STARTED = "its row in the ledger says that it was started"
_BY_THEN = "it ran outside a transaction, so what it had done by then remains"


def run_autocommit(
    context: RunContext, step: Online, monitor: LockMonitor
) -> StepResult | Failure | None:
    """Run the step, or prove that it is done: a result, a failure, or None if overtaken.

    Failures end with 81, or with 75 if a lock or the time ran out; the step's row is then removed
    from the ledger, so that a rerun tries it again, unless the catalog does not show how an earlier
    start ended.
    """
    started = time.monotonic()
    schema = context.settings.ledger_schema
    budget = context.deadline.part(context.settings.concurrent_budget_s)
    target = sql.autocommit_target(step.text)
    with _session(context) as conn:
        limits = {
            "application_name": step_application(schema),
            "statement_timeout": f"{math.ceil(budget.left_s * 1000) + 1}",
        }
        theirs = operator_settings.before(context, step, "session")
        settings = [row_security_sql("session"), *theirs, session_sql(limits)]
        worker = f"select {_make_ready(context, conn, settings, budget)}"
        monitor.follow(worker, context.work, context.guard_pid())
        # Only when everything is ready: a row that says "started" must mean that the statement may
        # have run.
        if not _is_resumed(step) and not _begin(context, step):
            return None
        outcome = _do(conn, step, target, budget, monitor, drop_wait=_drop_wait(context))
        if not isinstance(outcome, Failure) and _may_be_another(step, target):
            outcome = _judged(conn, context, step, monitor)
        told = () if isinstance(outcome, Failure) else _losses_of_detached(conn, target)
    if isinstance(outcome, Failure):
        if outcome.remains != _STARTED and step.entry is not None:
            wire.ask(context.work, ledger.forget_sql(schema, step.entry))
        return outcome
    if step.entry is not None:
        found = [drift.kept for drift in outcome]
        done = ledger.done_sql(schema, step.entry, told, found)
        # In one message, and so in one transaction.
        wire.ask(context.work, "; ".join([done, *step.mirror]))
    return StepResult(step.label, time.monotonic() - started, 1, 0, losses=told, drifts=outcome)


@contextmanager
def _session(context: RunContext) -> Iterator[Connection]:
    """Open a session for one step; behind a pooler, leave nothing in it for the next client."""
    with wire.closing(connect_beside(context.settings.endpoint)) as conn:
        yield conn
        if context.pooling is not Pooling.NONE:
            wire.roll_back(conn)
            wire.send(conn, "discard all")


def _losses_of_detached(conn: Connection, target: AutocommitTarget | None) -> tuple[str, ...]:
    """Return the report's text on a partition that is now a separate table."""
    if not isinstance(target, Detach):
        return ()
    oid = operator_names.oid_of(conn, target.child)
    wire.ask(conn, f"begin; {OWN_PATH}")
    told = tuple(str(loss) for loss in values.tell_detached(conn, [oid] if oid else []))
    wire.roll_back(conn)
    return told


def _make_ready(
    context: RunContext, conn: Connection, settings: Sequence[str], budget: Deadline
) -> int:
    """Apply the session's settings; return its backend's pid, or raise if a pooler has none."""
    if context.pooling is Pooling.NONE:
        wire.ask(conn, "; ".join(settings))
        return conn.info.backend_pid
    opening = "; ".join([*settings, "select pg_catalog.pg_backend_pid()"])
    return served_by(conn, context.settings.endpoint, budget, opening)


def _is_resumed(step: Online) -> bool:
    return isinstance(step, OnlineMigration) and step.is_resumed


def _begin(context: RunContext, step: Online) -> bool:
    """Commit the step's row, if it has one; return False if another run was faster."""
    if step.entry is None and not (isinstance(step, SyncStep) and step.fingerprint):
        return True  # there is no fence to pass
    texts = [OWN_PATH, *restart_sql(context, step), fence_sql(context, step)]
    answer = wire.send(context.work, ";\n".join(texts))
    if answer.error is not None and answer.error.sqlstate not in STOPPED:
        with wire.translated(context.work):
            raise answer.error
    return answer.error is None


def _drop_wait(context: RunContext) -> str:
    """Return how long one attempt to drop an invalid index may block access to its table."""
    return f"{math.ceil(context.settings.ddl_lock_timeout_s * 1000)}"


def _do(
    conn: Connection,
    step: Online,
    target: AutocommitTarget | None,
    budget: Deadline,
    monitor: LockMonitor,
    *,
    drop_wait: str,
) -> Failure | tuple[Drift, ...]:
    """Do what remains of the statement; if its state is unknown, leave its row unchanged."""
    proof = _proof(conn, step, target)
    if proof is Proof.DONE:
        log.info(f"{step.label} was done by a run that died before it could record it")
        return ()
    if proof is Proof.NOTHING:
        return _unproved(step)
    if isinstance(target, IndexBuild) and not _clear(conn, target, budget, drop_wait):
        return _busy(step, target)
    if isinstance(target, Rebuild):
        _drop_left(conn, target, drop_wait)
    sql = step.text
    if isinstance(target, Detach) and proof is Proof.HALF_DONE:
        sql = f"alter table {target.parent} detach partition {target.child} finalize"
    answer = wire.send(conn, sql, on_tick=monitor.tick)
    if answer.error is None:
        return ()
    position = answer.error.diag.statement_position
    # A position in the generated FINALIZE is not a position in the file.
    offset = int(position) - 1 if position and sql is step.text else None
    failure = failure_of(step, answer.error, index=0, offset=offset, failed=ExitCode.PARTIAL)
    failure = replace(failure, remains=_what_remains(conn, target, drop_wait))
    return monitor.explain(failure) if failure.sqlstate == QueryCanceled.sqlstate else failure


def _proof(conn: Connection, step: Online, target: AutocommitTarget | None) -> Proof:
    """Return how far the statement has got: before it was started, nothing is done.

    An exception is a detach that was cancelled and whose row is therefore gone: it can only be
    finalized.
    """
    if _is_resumed(step):
        return prove(conn, target)
    is_half_done = isinstance(target, Detach) and prove(conn, target) is Proof.HALF_DONE
    return Proof.HALF_DONE if is_half_done else Proof.TO_DO


def _what_remains(conn: Connection, target: AutocommitTarget | None, drop_wait: str) -> str:
    """Clean up after a failure; return what is left behind."""
    if not isinstance(target, IndexBuild | Rebuild):
        return _BY_THEN
    left = ", ".join(_drop_left(conn, target, drop_wait))
    if left:
        return f"the invalid index {left} remains, the next run drops it"
    return _BY_THEN if isinstance(target, Rebuild) else "nothing remains"


def _clear(conn: Connection, build: IndexBuild, budget: Deadline, drop_wait: str) -> bool:
    """Remove what an earlier build left, waiting for other builders; False if time runs out."""
    while left := left_behind(conn, build):
        if not is_being_built(conn, build):
            log.warning(f"the index {left[0]} is invalid, left by a build that failed; dropping it")
            if not _drop_left(conn, build, drop_wait):
                return True
        if budget.left_s <= 0:
            return False
        time.sleep(min(_POLL_S, budget.left_s))
    return True


def _drop_left(conn: Connection, work: IndexBuild | Rebuild, drop_wait: str) -> tuple[str, ...]:
    """Drop invalid indexes; return the names of those whose table could not be locked.

    Not with CONCURRENTLY, which would wait for the very sessions that the build waited for.
    """
    for _ in range(_DROP_TRIES):
        left = left_behind(conn, work)
        if not left:
            return ()
        for name in left:
            timeout = f"set local lock_timeout = {drop_wait}"
            wire.send(conn, f"begin; {timeout}; drop index {name}; commit")
            wire.roll_back(conn)
    return left_behind(conn, work)


def _may_be_another(step: Online, target: AutocommitTarget | None) -> bool:
    """Whether the index may have existed before; a build without IF NOT EXISTS made its own."""
    guarded = any(address.is_guarded for address in step.statements[0].creates)
    return isinstance(target, IndexBuild) and (guarded or _is_resumed(step))


def _judged(
    conn: Connection, context: RunContext, step: Online, monitor: LockMonitor
) -> Failure | tuple[Drift, ...]:
    """Check what IF NOT EXISTS has skipped: it may not be what the file declares."""
    statement = step.statements[0]
    (about,) = sql.abouts(statement, context.settings.ledger_schema)
    assert isinstance(about, Creation)  # noqa: S101 - every named build is one
    wire.ask_plainly(conn, "begin")
    found = compare(conn, about, context.settings.ledger_schema, monitor.tick)
    wire.roll_back(conn)
    if isinstance(found, Unproved):
        return _other_shape(step, about.address.name)
    drifts = tuple(replace(drift, is_adopted=step.is_replay) for drift in found)
    return judge_drifts(step, statement, drifts, context.settings) or drifts


def _other_shape(step: Step, name: str) -> Failure:
    return replace(
        _failure(step, ExitCode.REFUSED, "42P07"),
        message=f"{name} is there and is no index of that definition",
        remedy="drop it in a migration of its own, or give the new one another name",
    )


def _busy(step: Step, build: IndexBuild) -> Failure:
    return replace(
        _failure(step, ExitCode.TEMPFAIL, "55006"),
        message=f"another session has been building an index on {build.table} for the whole budget",
        remedy="wait for it; run again",
    )


def _unproved(step: Step) -> Failure:
    what = step.statements[0].what
    file = step.entry.file if step.entry else step.path
    return replace(
        _failure(step, ExitCode.PARTIAL, ""),
        message=f"{what} was started before; the catalog does not tell how it ended",
        remedy=f"look at what it left; say `predeploy settle {file} --done` where it was done, or "
        f"`predeploy settle {file} --again`; then run again",
        remains=_STARTED,
    )


def _failure(step: Step, exit_code: ExitCode, sqlstate: str) -> Failure:
    """Return a failure of predeploy's own, with the position of the step's statement."""
    first = step.statements[0]
    return Failure(
        exit_code=exit_code,
        path=step.path,
        line=first.line,
        column=first.column,
        sqlstate=sqlstate,
        message="",
        statement=shown(step.text),
        remains="nothing was done",
    )
