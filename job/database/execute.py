"""Runs a plan's steps in order. A failure is a value.

A step holds together or not at all. When only its locks cannot be had in time, or another session
has changed the same row of the catalog meanwhile, all of it is tried again.
"""

from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace

import structlog
import tenacity
from psycopg.errors import InsufficientPrivilege, LockNotAvailable, UniqueViolation

from job.database import ledger, wire
from job.database.autocommit import run_autocommit
from job.database.blockers import Watch, watch_over
from job.database.bound import run_bound
from job.database.connection import require_alive
from job.database.failure import has_lacked_locks, may_pass_again
from job.database.hold import Hold
from job.database.path import OUR_PATH
from job.database.place import Workplace
from job.database.pooler import Pooling, no_session
from job.database.privilege import grant_for
from job.database.script import run_script
from job.database.together import convoy_of, run_together
from job.errors import DatabaseRefusedError
from job.exit_codes import ExitCode
from job.plan import Failure, LedgerEntry, Mode, Plan, Step, StepResult

log = structlog.get_logger()


_Tried = tuple[Failure, Watch]


def execute(
    place: Workplace, plan: Plan, failed: ExitCode, works_on: Callable[[Step | None], None]
) -> Generator[StepResult | Failure | None, None, None]:
    """Run the plan's steps in order, yielding what came of each, up to the first that is not done.

    `works_on` is told of the step that the server works on from now on: it may be at the next one
    while this one's outcome is looked at. Who stops there closes the generator, which cancels it.
    A violation leaves out the later steps of its chain only.
    A Failure (which ends with `failed`, unless its SQLSTATE says better) left nothing of its step.
    None says that somebody else has applied the step: read the ledger anew. Raises
    ConnectionLostError when a connection dies: the ledger then knows what was committed; and
    DatabaseRefusedError (76), before any step, when a pooler cannot serve one of them.
    """
    _require_sessions(place, plan)
    todo = deque(plan.steps)
    while todo:
        require_alive(place.guard)
        tried = yield from _run_convoy(place, todo, failed, works_on)
        if not todo:
            return
        step = todo.popleft()
        works_on(step)
        outcome = _with_patience(place, step, failed, tried)
        if isinstance(outcome, StepResult):
            works_on(None)
        yield outcome
        if isinstance(outcome, Failure) and outcome.is_violation and step.chain:
            todo = deque(later for later in todo if later.chain != step.chain)
            continue
        if not isinstance(outcome, StepResult):
            return
        _tell(outcome)


def _run_convoy(
    place: Workplace, todo: deque[Step], failed: ExitCode, works_on: Callable[[Step | None], None]
) -> Generator[StepResult, None, _Tried | None]:
    """Run together what may travel together, and take what is done from the front of `todo`.

    Returns how the step failed that is now in front, and who has watched it.
    """
    watches: list[Watch] = []

    def watch_of(step: Step) -> Watch:
        watches.append(watch_over(place, step.label, _hold_of(place, step)))
        return watches[-1]

    convoy = convoy_of(place, todo)
    with closing(run_together(place, convoy, failed, watch_of, works_on)) as going:
        for done, came in enumerate(going):
            if isinstance(came, Failure):
                return came, watches[done]
            todo.popleft()
            yield came
            _tell(came)
            require_alive(place.guard)
    return None


def _tell(result: StepResult) -> None:
    log.info(
        f"applied {result.label}",
        statements=result.statements,
        rows=result.rows,
        duration_s=round(result.duration_s, 3),
    )


def _require_sessions(place: Workplace, plan: Plan) -> None:
    """Refuse a plan that needs a session of its own where only transactions are to be had."""
    outside = next((step for step in plan.steps if step.mode is Mode.AUTOCOMMIT), None)
    if outside is not None and place.pooling is Pooling.TRANSACTION:
        raise DatabaseRefusedError(
            f"{no_session(outside.label, place.settings.endpoint)}; of the steps that are planned "
            "with it none was run",
            exit_code=ExitCode.WRONG_ENDPOINT,
        )


def _with_patience(
    place: Workplace, step: Step, failed: ExitCode, tried: _Tried | None
) -> StepResult | Failure | None:
    """Try a step again as long as only others stand in the way, within the DDL budget.

    Where it was `tried` with others, that counts as the first time, if it says what there is to say
    of it: that it lacked locks, or that rows violate it, which takes as long to find out again.
    """
    budget = place.deadline.part(place.settings.ddl_budget_s)
    if tried is not None and (tried[0].is_violation or _may_pass_again(step, tried[0])):
        known, watch = [tried[0]], tried[1]
    else:
        known, watch = [], watch_over(place, step.label, _hold_of(place, step))

    def attempt() -> StepResult | Failure | None:
        return known.pop() if known else _try_step(place, step, failed, watch)

    def wait_a_little(state: tenacity.RetryCallState) -> float:
        # As long as others have stood behind the last try, they go on now.
        least = place.settings.ddl_lock_timeout_s if _has_held_up(state) else 0.1
        jitter = tenacity.wait_random_exponential(multiplier=0.5, min=least, max=least + 5)
        return min(jitter(state), budget.left_s)

    def tell(state: tenacity.RetryCallState) -> None:
        failure = state.outcome.result() if state.outcome else None
        raced = isinstance(failure, Failure) and failure.is_race and failure.message
        why = (
            f"another session has changed the same ({raced})"
            if raced
            else f"a lock was not to be had, {watch.blockers}"
        )
        log.warning(
            f"{step.label}: {why}; trying again",
            attempt=state.attempt_number,
            budget_left_s=round(budget.left_s),
        )

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda outcome: _may_pass_again(step, outcome)),
        stop=lambda _: budget.left_s <= 0,
        wait=wait_a_little,
        before_sleep=tell,
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )
    outcome: StepResult | Failure | None = retrying(attempt)
    if isinstance(outcome, Failure) and has_lacked_locks(step, outcome):
        return watch.explain(outcome)
    if isinstance(outcome, Failure) and outcome.sqlstate == InsufficientPrivilege.sqlstate:
        role = wire.identifier(place.work.info.user)
        return replace(outcome, remedy=grant_for(outcome.message, role))
    return outcome


def _hold_of(place: Workplace, step: Step) -> Hold | None:
    """Return what bounds how long the step's waits may stall others; DML alone stalls no reader.

    CONCURRENTLY is let alone: it keeps nobody out, and an index that it leaves would be invalid.
    """
    if step.mode is not Mode.TRANSACTION or not step.holds_ddl:
        return None
    return Hold(place.guard, place.settings.ddl_lock_timeout_s)


def _has_held_up(state: tenacity.RetryCallState) -> bool:
    failure = state.outcome.result() if state.outcome else None
    return isinstance(failure, Failure) and failure.sqlstate == LockNotAvailable.sqlstate


def _may_pass_again(step: Step, outcome: StepResult | Failure | None) -> bool:
    """Whether to try again: never blindly what ran outside a transaction and may have left traces.

    A failed index build leaves none, because they are dropped.
    """
    is_clean = step.mode is not Mode.AUTOCOMMIT or step.statements[0].node == "index_stmt"
    if not is_clean or not isinstance(outcome, Failure):
        return False
    return may_pass_again(outcome) or has_lacked_locks(step, outcome)


def _try_step(
    place: Workplace, step: Step, failed: ExitCode, watch: Watch
) -> StepResult | Failure | None:
    """Try once: a result, a failure (nothing of the step is left), or None when overtaken."""
    if step.binds:
        return run_bound(place, step, failed, watch)
    if step.mode is Mode.AUTOCOMMIT:
        return run_autocommit(place, step, watch)
    if step.mode is Mode.RECORD and step.entry is not None:
        return _record(place, step, step.entry)
    outcome = run_script(place, step, failed, watch)
    return watch.judge(outcome) if isinstance(outcome, Failure) else outcome


def _record(place: Workplace, step: Step, entry: LedgerEntry) -> StepResult | None:
    """Write a step down as done, because a baseline says so; None when somebody else just has."""
    schema = place.settings.ledger_schema
    begun = [] if step.is_resumed else [ledger.insert_sql(schema, entry, place.run_id)]
    answer = wire.send(
        place.work, "; ".join(["begin", OUR_PATH, *begun, ledger.done_sql(schema, entry), "commit"])
    )
    wire.roll_back(place.work)
    if answer.error is not None:
        if answer.error.sqlstate == UniqueViolation.sqlstate:
            return None
        with wire.translated(place.work):
            raise answer.error
    return StepResult(f"{step.label} (recorded, not run)", 0.0, 0, 0)
