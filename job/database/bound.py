"""Runs a seed's step: its statements one by one, their values bound, in one transaction.

A fallback's too. Neither is meant to take anything away, and the sentinel sees to that.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

from job.database import sentinel, wire
from job.database.blockers import Watch
from job.database.delivery import Context, Suspects, suspects
from job.database.failure import failure_of
from job.database.place import Workplace
from job.database.transaction import RESET, RESET_ROLE, rows_written, step_settings
from job.exit_codes import ExitCode
from job.loss import losses
from job.plan import Failure, Step, StepResult
from job.secret import Secret
from job.verdict import judge_losses

_END_OF_STATEMENTS = ("set constraints all immediate", RESET_ROLE)
_KEEP = (RESET, "commit")


def run_bound(place: Workplace, step: Step, failed: ExitCode, watch: Watch) -> StepResult | Failure:
    """Run the step; a failure has left nothing of it, and does not quote its values."""
    started = time.monotonic()
    context = Context(place, step, failed, watch)
    outcome = _send(context)
    if isinstance(outcome, Suspects):
        wire.roll_back(place.work)
        outcome = _send_carefully(context, outcome.oids)
    if isinstance(outcome, Failure):
        wire.roll_back(place.work)
        return outcome
    return StepResult(step.label, time.monotonic() - started, len(step.statements), outcome)


def _send(context: Context) -> int | Failure | Suspects:
    """Send the step, COMMIT included, behind the guard; return how many rows it wrote."""
    opening = sentinel.begin_sql(context.schema, context.step.text)
    wire.ask(context.place.work, f"begin; {step_settings(context.place, context.step)}; {opening}")
    rows = _send_statements(context)
    if isinstance(rows, Failure):
        return rows
    guard = sentinel.guard_sql(context.schema, is_forced=False)
    return _close(context, (*_END_OF_STATEMENTS, guard, *_KEEP)) or rows


def _send_carefully(context: Context, suspected: tuple[int, ...]) -> int | Failure:
    """Send the step between two full looks, and commit only what has lost nothing."""
    place, step, schema = context.place, context.step, context.schema
    wire.ask(place.work, f"begin isolation level repeatable read; {step_settings(place, step)}")
    before = sentinel.read_holdings(place.work, schema, suspected)
    rows = _send_statements(context)
    if isinstance(rows, Failure):
        return rows
    ended = _close(context, _END_OF_STATEMENTS)
    if isinstance(ended, Failure):
        return ended
    found = losses(before, sentinel.read_holdings(place.work, schema, before.counted))
    if refusal := judge_losses(step, found, found, place.settings):
        return replace(refusal, remedy="take it out: what is made or inserted here only adds")
    wire.ask(place.work, "; ".join(_KEEP))
    return rows


def _send_statements(context: Context) -> int | Failure:
    """Send a step's statements one by one, their values bound; return how many rows it wrote."""
    place, step = context.place, context.step
    rows = 0
    for index, (statement, values) in enumerate(zip(step.statements, step.binds, strict=True)):
        plain = [v.reveal() if isinstance(v, Secret) else v for v in values]
        answer = wire.send(place.work, statement.text, plain, on_tick=context.watch.tick)
        if answer.error is not None:
            position = answer.error.diag.statement_position
            start = statement.start - step.statements[0].start
            offset = start + int(position) - 1 if position else None
            return failure_of(step, answer.error, index=index, offset=offset, failed=context.failed)
        rows += rows_written(answer, 0, 1)
    return rows


def _close(context: Context, closing: Sequence[str]) -> Failure | Suspects | None:
    closed = wire.send(context.place.work, "; ".join(closing))
    if closed.error is None:
        return None
    end, failed = len(context.step.statements), context.failed
    return suspects(context, closed) or failure_of(
        context.step, closed.error, index=end, offset=None, failed=failed
    )
