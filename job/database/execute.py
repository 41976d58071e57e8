"""Runs steps: the only writer of what the operator declared. A failure is a value.

A step holds together or not at all. A script's step is one message: BEGIN, settings, the ledger
row that fences it, the statements, the reset, COMMIT. When only its locks cannot be had in time,
all of it is tried again.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import structlog
import tenacity

from job.database import ledger, wire
from job.database.autocommit import run_autocommit
from job.database.blockers import Watch
from job.database.connection import require_alive
from job.database.failure import failure_of, is_lock_failure
from job.database.place import Workplace
from job.database.transaction import RESET, settings_sql, step_application
from job.database.wire import Answer
from job.exit_codes import ExitCode
from job.plan import Failure, LedgerEntry, Mode, Plan, Statement, Step, StepResult
from job.secret import Secret

log = structlog.get_logger()

_UNIQUE_VIOLATION = "23505"
_WRITES = ("INSERT", "UPDATE", "DELETE", "MERGE")


def execute(
    place: Workplace, plan: Plan, failed: ExitCode
) -> Iterator[StepResult | Failure | None]:
    """Run the plan's steps in order, yielding what came of each, up to the first that is not done.

    A Failure (which ends with `failed`, unless its SQLSTATE says better) left nothing of its step.
    None says that somebody else has applied the step: read the ledger anew. Raises
    ConnectionLostError when a connection dies: the ledger then knows what was committed.
    """
    for step in plan.steps:
        require_alive(place.guard)
        try:
            outcome = _with_patience(place, step, failed)
        except BaseException as stop:
            stop.add_note(f"in the middle of {step.label}")
            raise
        yield outcome
        if not isinstance(outcome, StepResult):
            return
        log.info(
            f"applied {step.label}",
            statements=outcome.statements,
            rows=outcome.rows,
            duration_s=round(outcome.duration_s, 3),
        )


def _with_patience(place: Workplace, step: Step, failed: ExitCode) -> StepResult | Failure | None:
    """Try a step again as long as only its locks stand in the way, within the DDL budget."""
    budget = place.deadline.part(place.settings.ddl_budget_s)
    watch = Watch(place.guard, place.work.info.backend_pid, step.label)

    def wait_a_little(state: tenacity.RetryCallState) -> float:
        jitter = tenacity.wait_random_exponential(multiplier=0.5, min=0.1, max=5)
        return min(jitter(state), budget.left_s)

    def tell(state: tenacity.RetryCallState) -> None:
        log.warning(
            f"{step.label}: a lock was not to be had, {watch.blockers}; trying again",
            attempt=state.attempt_number,
            budget_left_s=round(budget.left_s),
        )

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_result(_is_lock_failure),
        stop=lambda _: budget.left_s <= 0,
        wait=wait_a_little,
        before_sleep=tell,
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )
    outcome: StepResult | Failure | None = retrying(_try_step, place, step, failed, watch)
    if isinstance(outcome, Failure) and is_lock_failure(outcome):
        return watch.explain(outcome)
    return outcome


def _is_lock_failure(outcome: StepResult | Failure | None) -> bool:
    return isinstance(outcome, Failure) and is_lock_failure(outcome)


def _try_step(
    place: Workplace, step: Step, failed: ExitCode, watch: Watch
) -> StepResult | Failure | None:
    """Try once: a result, a failure (nothing of the step is left), or None when overtaken."""
    if step.entry and step.mode is Mode.AUTOCOMMIT:
        return run_autocommit(place, step, step.entry, watch)
    started = time.monotonic()
    send = _send_bound if step.binds else _send_script
    outcome = send(place, step, failed, watch)
    if not isinstance(outcome, int):
        wire.roll_back(place.work)
        return outcome
    return StepResult(step.label, time.monotonic() - started, len(step.statements), outcome)


def _send_script(
    place: Workplace, step: Step, failed: ExitCode, watch: Watch
) -> int | Failure | None:
    """Send a step as one message, or as several where COPY data is in it; return rows written."""
    schema = place.settings.ledger_schema
    fence = [ledger.insert_sql(schema, step.entry, place.run_id)] if step.entry else []
    opening = ["begin", _settings(place, step), *fence]
    closing = ["set constraints all immediate", RESET, *_done(schema, step.entry), "commit"]
    rows = 0
    for message in _messages(step, opening, closing):
        if message.data is not None:
            answer = wire.send_copy(place.work, message.text, message.data)
        else:
            answer = wire.send(place.work, message.text, on_tick=watch.tick)
        if answer.error is None:
            rows += _rows_written(answer, message.before, message.count)
            continue
        index = answer.failed_index - message.before
        if fence and message.before and index == -1 and answer.error.sqlstate == _UNIQUE_VIOLATION:
            return None
        position = answer.error.diag.statement_position
        offset = message.offset + int(position) - 1 if position else None
        return failure_of(
            step, answer.error, index=message.first + index, offset=offset, failed=failed
        )
    return rows


@dataclass(frozen=True, slots=True)
class _Message:
    """A part of a step that is sent at once.

    `before` counts the statements of ours in front of the step's own `count`, of which the first is
    the step's statement number `first`. `offset` is where the text begins in the step's, and
    negative where ours stand in front. `data` goes with a COPY, which is a message of its own.
    """

    text: str
    before: int
    first: int
    count: int
    offset: int
    data: str | None = None


def _messages(step: Step, opening: list[str], closing: list[str]) -> Iterator[_Message]:
    prefix, suffix = ";\n".join(opening) + ";\n", ";\n".join(closing)
    runs = [tuple(run) for _, run in groupby(step.statements, key=_run_of)]
    start = step.statements[0].start if step.statements else 0
    first = 0
    if not runs or runs[0][0].data is not None:
        yield _Message(prefix if runs else prefix + suffix, len(opening), 0, 0, -len(prefix))
        prefix = ""
    for number, run in enumerate(runs):
        offset = run[0].start - start
        text = step.text[offset : run[-1].end - start]
        if (data := run[0].data) is not None:
            yield _Message(text, 0, first, 1, offset, data)
        else:
            tail = suffix if number == len(runs) - 1 else ""
            before = len(opening) if prefix else 0
            whole = f"{prefix}{text}\n;\n{tail}"
            yield _Message(whole, before, first, len(run), offset - len(prefix))
            prefix = ""
        first += len(run)
    if runs and runs[-1][0].data is not None:
        yield _Message(suffix, 0, first, 0, len(step.text))


def _run_of(statement: Statement) -> int | None:
    """Tell runs apart: each COPY with data is one of its own."""
    return None if statement.data is None else statement.start


def _send_bound(place: Workplace, step: Step, failed: ExitCode, watch: Watch) -> int | Failure:
    """Send a step's statements one by one, their values bound; return how many rows it wrote."""
    wire.ask(place.work, f"begin; {_settings(place, step)}")
    rows = 0
    for index, (statement, values) in enumerate(zip(step.statements, step.binds, strict=True)):
        plain = [v.reveal() if isinstance(v, Secret) else v for v in values]
        answer = wire.send(place.work, statement.text, plain, on_tick=watch.tick)
        if answer.error is not None:
            position = answer.error.diag.statement_position
            start = statement.start - step.statements[0].start
            offset = start + int(position) - 1 if position else None
            return failure_of(step, answer.error, index=index, offset=offset, failed=failed)
        rows += _rows_written(answer, 0, 1)
    closed = wire.send(place.work, f"set constraints all immediate; {RESET}; commit")
    if closed.error is not None:
        end = len(step.statements)
        return failure_of(step, closed.error, index=end, offset=None, failed=failed)
    return rows


def _settings(place: Workplace, step: Step) -> str:
    """Return the step's settings: locks are waited for briefly where readers could feel it."""
    limits = place.settings
    lock_wait_s = limits.ddl_lock_timeout_s if step.holds_ddl else limits.ddl_budget_s
    return settings_sql(
        {
            "application_name": step_application(limits.ledger_schema),
            "lock_timeout": f"{math.ceil(lock_wait_s * 1000)}",
            "statement_timeout": f"{math.ceil(place.deadline.left_s * 1000) + 1}",
        }
    )


def _done(schema: str, entry: LedgerEntry | None) -> list[str]:
    return [ledger.done_sql(schema, entry)] if entry else []


def _rows_written(answer: Answer, first: int, count: int) -> int:
    results = answer.results[first : first + count]
    statuses = [(result.command_status or b"").decode() for result in results]
    return sum(int(s.split()[-1]) for s in statuses if s.startswith(_WRITES))
