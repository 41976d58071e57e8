"""Runs a seed's step: its statements one by one, their values bound, in one transaction.

A fallback's too. Neither is meant to take anything away, and the sentinel sees to that.
"""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from job.database import holdings, sentinel, wire
from job.database.failure import failure_of
from job.database.message import Context, Suspects
from job.database.stream import Sent, stream
from job.database.transaction import (
    END_OF_STATEMENTS,
    RESET,
    begin_sql,
    path_sql,
    rows_written,
    step_settings,
)
from job.errors import InternalError
from job.loss import losses
from job.plan import Failure, StepResult
from job.secret import Secret
from job.verdict import judge_losses

_KEEP = (*RESET, "commit")


def run_bound(context: Context) -> StepResult | Failure:
    """Run the step; a failure has left nothing of it, and does not quote its values."""
    place, step = context.place, context.step
    started = time.monotonic()
    outcome = _send(context)
    if isinstance(outcome, Suspects):
        wire.roll_back(place.work)
        outcome = _send_carefully(context, outcome.oids)
    if isinstance(outcome, Suspects):
        raise InternalError(f"{step.label}: a guard spoke where it was not asked")
    if isinstance(outcome, Failure):
        wire.roll_back(place.work)
        return outcome
    return StepResult(step.label, time.monotonic() - started, len(step.statements), outcome)


def _send(context: Context) -> int | Failure | Suspects:
    """Send the step, COMMIT included, behind the guard; return how many rows it wrote."""
    place, step, schema = context.place, context.step, context.schema
    return _stream(
        context,
        (
            begin_sql(step),
            step_settings(place, step),
            sentinel.begin_sql(schema, step.text),
            path_sql(step),
        ),
        (*END_OF_STATEMENTS, sentinel.guard_sql(schema), *_KEEP),
    )


def _send_carefully(context: Context, suspected: frozenset[int]) -> int | Failure | Suspects:
    """Send the step between two full looks, and commit only what has lost nothing."""
    place, step, schema = context.place, context.step, context.schema
    begin = begin_sql(step, "isolation level repeatable read")
    wire.ask(place.work, f"{begin}; {step_settings(place, step)}")
    before = holdings.read_holdings(place.work, schema, suspected)
    rows = _stream(context, (path_sql(step),), (*END_OF_STATEMENTS, step_settings(place, step)))
    if not isinstance(rows, int):
        return rows
    found = losses(before, holdings.read_holdings(place.work, schema, before.counted))
    if refusal := judge_losses(step, found, found, place.settings):
        return replace(refusal, remedy="take it out: what is made or inserted here only adds")
    wire.ask(place.work, "; ".join(_KEEP))
    return rows


def _stream(
    context: Context, opening: Sequence[str], ending: Sequence[str]
) -> int | Failure | Suspects:
    """Send the step's statements between ours in one round trip; return how many rows it wrote."""
    step, count = context.step, len(context.step.statements)
    sent: list[Sent] = [(sql, ()) for sql in opening]
    for statement, values in zip(step.statements, step.binds, strict=True):
        plain = [v.reveal() if isinstance(v, Secret) else v for v in values]
        sent.append((statement.text, plain))
    sent += [(sql, ()) for sql in ending]
    with closing(stream(context.place.work, [sent], context.watch.tick)) as answers:
        answer = next(answers)
    if answer.error is None:
        return rows_written(answer, len(opening), count)
    index = answer.failed_index - len(opening)
    if index >= count and sentinel.has_spoken(context.schema, answer.error):
        return Suspects(sentinel.parse_suspects(answer.error.diag.message_detail))
    position, offset = answer.error.diag.statement_position, None
    if position and 0 <= index < count:
        offset = step.statements[index].start - step.statements[0].start + int(position) - 1
    return failure_of(step, answer.error, index=index, offset=offset, failed=context.failed)
