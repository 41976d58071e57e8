"""Runs a step of a migration: from BEGIN and the fence to the reset and COMMIT.

Mostly in one message. Before it commits, the sentinel looks at the transaction's own counters. When
they say that something may be lost, the step is rolled back and run once more, with a full look
before and after. When something that it creates is there already, it is run once more in pieces.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial

import psycopg

from job import statements
from job.database import holdings, ledger, marks, sentinel, wire
from job.database.blockers import Watch
from job.database.delivery import (
    AlreadyThere,
    Context,
    Delivery,
    Outcome,
    Sent,
    Suspects,
    at_once,
    begin,
)
from job.database.failure import failure_of
from job.database.fence import fence_sql
from job.database.path import OUR_PATH
from job.database.pieces import in_pieces
from job.database.place import Workplace
from job.database.pooler import Pooling
from job.database.transaction import (
    END_OF_STATEMENTS,
    RESET,
    begin_sql,
    clean_up,
    path_sql,
    step_settings,
)
from job.errors import InternalError, ServerError
from job.exit_codes import ExitCode
from job.loss import Loss, losses, of_rows, renames, rewrites, rewritten
from job.meddling import meddling
from job.plan import Drift, Failure, Step, StepResult
from job.verdict import judge_losses, judge_meddling


def run_script(
    place: Workplace, step: Step, failed: ExitCode, watch: Watch
) -> StepResult | Failure | None:
    """Run the step: a result, a failure that has left nothing of it, or None when overtaken."""
    started = time.monotonic()
    context = Context(place, step, failed, watch)
    outcome = _try_both_ways(context)
    if isinstance(outcome, Sent):
        return result_of(step, outcome, time.monotonic() - started)
    _roll_back(context)
    if isinstance(outcome, Suspects | AlreadyThere):
        raise InternalError(f"{step.label}: a guard spoke where it was not asked")
    return outcome


def result_of(step: Step, sent: Sent, duration_s: float) -> StepResult:
    """Return what the report says of a step that is done."""
    return StepResult(
        step.label,
        duration_s,
        len(step.statements),
        sent.rows,
        tuple(str(loss) for loss in sent.losses),
        sent.duplicates,
        sent.notices,
        sent.drifts,
    )


def _try_both_ways(context: Context) -> Outcome:
    """Send the step at once, or in pieces; what we ask in between may fail as it does."""
    step = context.step
    first = in_pieces if step.is_replay else at_once
    try:
        outcome = _try(context, first)
        if isinstance(outcome, AlreadyThere):
            _roll_back(context)
            outcome = _try(context, in_pieces)
    except ServerError as error:
        if not isinstance(error.__cause__, psycopg.Error):
            raise
        return failure_of(step, error.__cause__, index=0, offset=None, failed=context.failed)
    return outcome


def _try(context: Context, deliver: Delivery) -> Outcome:
    if context.step.is_replay:
        return _replay(context, deliver)
    outcome = _send(context, deliver)
    if isinstance(outcome, Suspects):
        _roll_back(context)
        return _send_carefully(context, deliver, outcome.oids)
    return outcome


def _roll_back(context: Context) -> None:
    """Undo the step; what it has prepared outlives that, and would be in its way the next time.

    In one message: behind a pooler the session is somebody else's after it.
    """
    left = clean_up(context.step)
    if left:
        wire.ask(context.place.work, "; ".join(["rollback", *left]))
    wire.roll_back(context.place.work)


def _send(context: Context, deliver: Delivery) -> Outcome:
    """Send the step, COMMIT included."""
    return deliver(context, opening(context.place, context.step), partial(closing, context))


def opening(place: Workplace, step: Step, **settings: str) -> list[str]:
    """Return what a step begins with, up to its own statements; `settings` are its own, too."""
    return [
        begin_sql(step),
        step_settings(place, step, **settings),
        fence_sql(place, step),
        sentinel.begin_sql(place.settings.ledger_schema, step.text),
        path_sql(step),
        *step.preamble,
    ]


def closing(context: Context, drifts: tuple[Drift, ...] = ()) -> list[str]:
    """Return what a step ends with; the guard in it lets nothing pass that may be a loss."""
    return [
        *END_OF_STATEMENTS,
        sentinel.guard_sql(context.schema, is_forced=bool(context.step.declarations)),
        *_keep(context, (), drifts),
    ]


def _send_carefully(context: Context, deliver: Delivery, suspects: tuple[int, ...]) -> Outcome:
    """Run the step between two full looks, and commit only what is declared.

    In REPEATABLE READ, so that rows which others delete meanwhile are not counted as our loss.
    """
    place, schema = context.place, context.schema
    begun = _begin_carefully(context)
    if not isinstance(begun, Sent):
        return begun
    before = holdings.read_holdings(place.work, schema, suspects)
    own = [path_sql(context.step), *context.step.preamble]
    sent = deliver(context, own, partial(_end_carefully, context))
    if not isinstance(sent, Sent):
        return sent
    after = holdings.read_holdings(place.work, schema, before.counted)
    found = losses(before, after)
    changed = (*found, *renames(before, after), *rewrites(before, after))
    declarable = (*changed, *sent.gone, *_gone_before(context.step), *of_rows(before, after))
    if refusal := judge_losses(context.step, found, declarable, place.settings):
        return refusal
    told = [str(loss) for loss in changed]
    wire.ask(
        place.work,
        "; ".join((sentinel.forget_sql(), *_keep(context, told, sent.drifts))),
    )
    return replace(sent, losses=changed)


def _gone_before(step: Step) -> tuple[Loss, ...]:
    """Return what the step takes away only if it is there: a declaration of it is never idle."""
    return tuple(loss for s in step.statements for loss in statements.guarded_drops(s))


def _replay(context: Context, deliver: Delivery, suspects: tuple[int, ...] = ()) -> Outcome:
    """Run a step on a database from before its ledger, and commit only what it added.

    A table in a new file may have been emptied, which no counter tells: then once more, with its
    rows counted.
    """
    place, step, schema = context.place, context.step, context.schema
    begun = _begin_carefully(context)
    if not isinstance(begun, Sent):
        return begun
    before = marks.read_marks(place.work, schema)
    held = holdings.read_holdings(place.work, schema, suspects)
    if sentinel.is_blinding(step.text) and (unknown := held.tables.keys() - suspects):
        _roll_back(context)
        return _replay(context, deliver, (*suspects, *unknown))
    sent = deliver(context, [path_sql(step), *step.preamble], partial(_end_carefully, context))
    if not isinstance(sent, Sent):
        return sent
    meddled = meddling(before, marks.read_marks(place.work, schema))
    left = holdings.read_holdings(place.work, schema, held.counted)
    lost = tuple(f"would take away: {loss}" for loss in losses(held, left))
    if refusal := judge_meddling(step, (*lost, *meddled)):
        return refusal
    if fresh := set(rewritten(held, left)) - set(suspects):
        _roll_back(context)
        return _replay(context, deliver, (*suspects, *fresh))
    wire.ask(place.work, "; ".join(_keep(context, (), sent.drifts)))
    return sent


def _begin_carefully(context: Context) -> Outcome:
    """Open the transaction and write the fence; None when somebody else's is there."""
    place, step = context.place, context.step
    return begin(
        context,
        [
            begin_sql(step, "isolation level repeatable read"),
            step_settings(place, step),
            fence_sql(place, step),
        ],
    )


def _end_carefully(context: Context, _: tuple[Drift, ...]) -> list[str]:
    """Return what the second look follows: under our settings, not those that the file has left."""
    return [*END_OF_STATEMENTS, step_settings(context.place, context.step)]


def _keep(context: Context, told: Sequence[str], drifts: tuple[Drift, ...]) -> list[str]:
    """Return what ends the step for good: the reset, the row, COMMIT."""
    found = [asdict(drift) for drift in drifts]
    entry = context.step.entry
    done = [ledger.done_sql(context.schema, entry, told, found)] if entry else []
    is_shared = context.place.pooling is Pooling.TRANSACTION
    left = clean_up(context.step) if is_shared else []
    return [*RESET, *left, OUR_PATH, *done, "commit"]
