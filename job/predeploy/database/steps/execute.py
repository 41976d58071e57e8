"""Runs a plan's steps in order. A failure is a value.

A step is applied completely or not at all. If only its locks could not be obtained in time, or
another session changed the same catalog row meanwhile, the whole step is tried again.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import takewhile

import structlog
import tenacity
from psycopg.errors import (
    InsufficientPrivilege,
    LockNotAvailable,
    RaiseException,
    UniqueViolation,
)

from predeploy import sql
from predeploy.contract.errors import DatabaseRefusedError
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Failure, Plan, StepResult
from predeploy.contract.step import (
    CommandStep,
    LateMirror,
    Online,
    OnlineMigration,
    OnlineSchemaChange,
    Record,
    Step,
    SyncStep,
)
from predeploy.database.catalog import advice, row_security
from predeploy.database.command.run import run_command
from predeploy.database.ledger import ledger
from predeploy.database.sentinel.sequences import SequencePositions
from predeploy.database.server import wire
from predeploy.database.server.connection import require_alive
from predeploy.database.server.failure import has_lacked_locks, may_pass_again
from predeploy.database.server.path import OWN_PATH
from predeploy.database.server.pooler import Pooling, no_session
from predeploy.database.server.wire import Connection
from predeploy.database.session.fence import fence_sql, restart_sql
from predeploy.database.session.lock_monitor import LockMonitor
from predeploy.database.session.lock_wait_budget import LockWaitBudget
from predeploy.database.session.run_context import RunContext
from predeploy.database.steps.autocommit import run_autocommit
from predeploy.database.steps.frame import relying
from predeploy.database.steps.message import Attempt
from predeploy.database.steps.outcome import Tried
from predeploy.database.steps.presence import FirstLook, look
from predeploy.database.steps.script import run_script
from predeploy.database.steps.together import batch_of, run_together
from predeploy.judgment.delivery import asks_for_a_look, deliveries, lookups, uses_of
from predeploy.judgment.sequence_use import SequenceUse
from predeploy.judgment.verdict import refuse_gap

log = structlog.get_logger()

# Errors whose cause may be an event trigger or a missing privilege.
_SAID_BY_SOMEBODY = (InsufficientPrivilege.sqlstate, RaiseException.sqlstate)


def execute(
    context: RunContext, plan: Plan, failed: ExitCode, works_on: Callable[[Step | None], None]
) -> Generator[StepResult | Failure | None, None, None]:
    """Run the plan's steps in order; yield the outcome of each, up to the first that is not done.

    How each step is delivered is decided before the first one runs, from its text and one look at
    the database. `works_on` is called with the step that the server starts to work on: that may be
    the next one while the outcome of this one is examined. To stop early, close the generator,
    which cancels the running step.

    A Failure left nothing of its step behind; it ends with `failed`, unless its SQLSTATE calls for
    another exit code. None means that the rest must be planned again: another run has applied the
    step, or a violation was found, on which other steps may depend.

    Raises ConnectionLostError if a connection dies: the ledger then holds what was committed.
    Raises DatabaseRefusedError (76), before any step, if a pooler cannot serve one of them.
    """
    _require_sessions(context, plan)
    uses = uses_of(plan.steps)
    look = _look(context, plan.steps, uses)
    gaps = dict(look.gaps)
    todo = deque(_contexts(context, plan.steps, failed, uses, look))
    while todo:
        # Without the guard's connection the lock is lost, so no further step may start.
        require_alive(context.guard)
        known = yield from _run_batch(todo, gaps, works_on)
        if not todo:
            return
        attempt = todo.popleft()
        step = attempt.step
        works_on(step)
        refused = _counts_on_a_gap(step, gaps)
        tried = Tried(refused, attempt.delivery) if refused else _with_patience(attempt, known)
        outcome = tried.outcome
        if isinstance(outcome, StepResult):
            works_on(None)
        yield outcome
        if isinstance(outcome, Failure) and outcome.is_violation:
            yield None
        if not isinstance(outcome, StepResult):
            return
        _tell(outcome)
        gaps |= {(e.file, e.raw_hash): str(gap) for e, gap in relying(attempt, tried.gaps)}


def _look(context: RunContext, steps: Sequence[Step], uses: Sequence[SequenceUse]) -> FirstLook:
    """Look once for all steps; not at all if none of them needs it."""
    if not asks_for_a_look(steps, uses):
        return FirstLook()
    return look(context.work, context.settings, lookups(steps, uses))


def _contexts(
    context: RunContext,
    steps: Sequence[Step],
    failed: ExitCode,
    uses: Sequence[SequenceUse],
    found: FirstLook,
) -> Iterator[Attempt]:
    for step, delivery in zip(steps, deliveries(steps, uses, found.there), strict=True):
        monitor = LockMonitor(
            context.guard, context.work_pid_sql, step.label, _hold_of(context, step)
        )
        yield Attempt(context, step, failed, monitor, delivery, steps, found.newest, found.path)


def _counts_on_a_gap(step: Step, gaps: Mapping[tuple[str, str], str]) -> Failure | None:
    """Refuse a file with literal ids that a sequence of this database has skipped."""
    entry = step.entry
    gap = gaps.get((entry.file, entry.raw_hash)) if entry and not isinstance(step, Record) else None
    return refuse_gap(step, gap) if gap else None


def _run_batch(
    todo: deque[Attempt],
    gaps: Mapping[tuple[str, str], str],
    works_on: Callable[[Step | None], None],
) -> Generator[StepResult, None, Tried | None]:
    """Run steps together as far as possible; remove those that are done from the front of `todo`.

    Return what the first try has shown of the step that is now at the front.
    """
    batch = batch_of(takewhile(lambda c: not _counts_on_a_gap(c.step, gaps), todo))
    with closing(run_together(batch, works_on)) as going:
        for tried in going:
            if not isinstance(tried.outcome, StepResult):
                return tried
            context = todo.popleft().context
            yield tried.outcome
            _tell(tried.outcome)
            require_alive(context.guard)
    return None


def _tell(result: StepResult) -> None:
    log.info(
        f"applied {result.label}",
        statements=result.statements,
        rows=result.rows,
        duration_s=round(result.duration_s, 3),
    )


def _require_sessions(context: RunContext, plan: Plan) -> None:
    """Refuse a plan that needs a session if a pooler provides only transactions."""
    outside = next((step for step in plan.steps if isinstance(step, Online)), None)
    if outside is not None and context.pooling is Pooling.TRANSACTION:
        raise DatabaseRefusedError(
            f"{no_session(outside.label, context.settings.endpoint)}; of the steps that are "
            "planned with it none was run",
            exit_code=ExitCode.WRONG_ENDPOINT,
        )


def _with_patience(attempt: Attempt, known: Tried | None) -> Tried:
    """Try a step again as long as only other sessions block it, within the DDL budget.

    If it has been tried in a batch, that counts as the first try if the result is conclusive:
    locks were not obtained, or rows violate it, which would take as long to find out again.
    """
    context, step, monitor = attempt.context, attempt.step, attempt.monitor
    budget = context.deadline.part(context.settings.ddl_budget_s)
    last = known or Tried(None, attempt.delivery)
    counts = isinstance(last.outcome, Failure) and (
        last.outcome.is_violation or _may_pass_again(step, last)
    )

    def once_more() -> Tried:
        nonlocal last, counts
        if counts:
            counts = False
        else:
            last = _try_step(replace(attempt, delivery=last.delivery), last.positions)
        return last

    def wait_a_little(state: tenacity.RetryCallState) -> float:
        # Sessions that queued behind the last try get at least as long as they were held up.
        least = context.settings.ddl_lock_timeout_s if _has_held_up(state) else 0.1
        jitter = tenacity.wait_random_exponential(multiplier=0.5, min=least, max=least + 5)
        return min(jitter(state), budget.left_s)

    def tell(state: tenacity.RetryCallState) -> None:
        failure = state.outcome.result().outcome if state.outcome else None
        raced = isinstance(failure, Failure) and failure.is_race and failure.message
        why = (
            f"another session has changed the same ({raced})"
            if raced
            else f"a lock was not obtained, {monitor.blockers}"
        )
        log.warning(
            f"{step.label}: {why}; trying again",
            attempt=state.attempt_number,
            budget_left_s=round(budget.left_s),
        )

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda tried: _may_pass_again(step, tried)),
        stop=lambda _: budget.left_s <= 0,
        wait=wait_a_little,
        before_sleep=tell,
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )
    tried: Tried = retrying(once_more)
    return replace(tried, outcome=_explained(attempt, tried.outcome))


def _explained(
    attempt: Attempt, outcome: StepResult | Failure | None
) -> StepResult | Failure | None:
    """Add to a failure which session blocked it, or what to grant."""
    if not isinstance(outcome, Failure):
        return outcome
    step, work = attempt.step, attempt.context.work
    if has_lacked_locks(step, outcome):
        return attempt.monitor.explain(outcome)
    if outcome.is_filtered:
        path = "" if isinstance(step, SyncStep) else step.path
        return replace(outcome, remedy=row_security.way_out(work, outcome.message, path))
    if outcome.sqlstate in _SAID_BY_SOMEBODY and not work.closed:
        wire.roll_back(work)
        return replace(outcome, remedy=_who_lets_it_pass(work, outcome))
    return outcome


def _who_lets_it_pass(work: Connection, refused: Failure) -> str:
    if trigger := advice.event_trigger_behind(work, refused.detail):
        return f"{trigger} of the database forbids it: ask its owner to let it pass, run again"
    if refused.sqlstate == InsufficientPrivilege.sqlstate:
        return advice.for_refusal(work, refused.message)
    return refused.remedy


def _hold_of(context: RunContext, step: Step) -> LockWaitBudget | None:
    """Return the limit on how long the step's waits may block others; DML blocks no reader.

    None for CONCURRENTLY: it blocks nobody, and a cancelled build would leave an invalid index.
    """
    if isinstance(step, Online | Record) or not sql.holds_ddl(step.statements):
        return None
    return LockWaitBudget(context.guard, context.settings.ddl_lock_timeout_s)


def _has_held_up(state: tenacity.RetryCallState) -> bool:
    failure = state.outcome.result().outcome if state.outcome else None
    return isinstance(failure, Failure) and failure.sqlstate == LockNotAvailable.sqlstate


def _may_pass_again(step: Step, tried: Tried) -> bool:
    """Whether to try again; never for a step outside a transaction that may have left traces.

    A failed index build leaves none, because they are dropped.
    """
    is_clean = not isinstance(step, Online) or step.statements[0].node == "index_stmt"
    if not is_clean or not isinstance(tried.outcome, Failure):
        return False
    return may_pass_again(tried.outcome) or has_lacked_locks(step, tried.outcome)


def _try_step(attempt: Attempt, positions: SequencePositions | None) -> Tried:
    """Try once; `positions` holds the positions of sequences before the earlier tries."""
    context, step, monitor = attempt.context, attempt.step, attempt.monitor
    match step:
        case Record():
            return Tried(_record(context, step), attempt.delivery)
        case LateMirror():
            return Tried(_mirror(context, step), attempt.delivery)
        case CommandStep():
            return Tried(run_command(context, step, monitor), attempt.delivery)
        case OnlineMigration() | OnlineSchemaChange():
            return Tried(run_autocommit(context, step, monitor), attempt.delivery)
    return _judged(attempt, run_script(attempt, positions))


def _judged(attempt: Attempt, tried: Tried) -> Tried:
    if isinstance(tried.outcome, Failure):
        return replace(tried, outcome=attempt.monitor.judge(tried.outcome))
    return tried


def _mirror(context: RunContext, step: LateMirror) -> StepResult:
    """Write to the tool's table, in one transaction."""
    started_s = time.monotonic()
    answer = wire.send(context.work, "; ".join(["begin", OWN_PATH, *step.mirror, "commit"]))
    wire.roll_back(context.work)
    if answer.error is not None:
        with wire.translated(context.work):
            raise answer.error
    return StepResult(step.label, time.monotonic() - started_s, len(step.mirror), 0)


def _record(context: RunContext, step: Record) -> StepResult | None:
    """Record a step as done because of a baseline; return None if another run just did."""
    schema, entry = context.settings.ledger_schema, step.entry
    assert entry is not None  # noqa: S101 - every step of a file has one
    begun = [] if step.is_resumed else [*restart_sql(context, step), fence_sql(context, step)]
    answer = wire.send(
        context.work,
        "; ".join(["begin", OWN_PATH, *begun, ledger.done_sql(schema, entry), "commit"]),
    )
    wire.roll_back(context.work)
    if answer.error is not None:
        if answer.error.sqlstate == UniqueViolation.sqlstate:
            return None
        with wire.translated(context.work):
            raise answer.error
    return StepResult(f"{step.label} (recorded, not run)", 0.0, 0, 0)
