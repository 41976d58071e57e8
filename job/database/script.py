"""Runs a step of a migration: from BEGIN and the fence to the reset and COMMIT.

How it is delivered was decided before (`job.delivery`): mostly in one message, with the sentinel's
guard in it; between two full looks where it takes something away; piecewise where something that it
makes is there already. What nobody could tell beforehand makes a try fail: a guard that suspects
what a function did, or an object that a function made. Then the step is rolled back and run once
more in the way that this asks for, with the sequences put back that it has drawn from.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import dropwhile, islice, takewhile
from types import MappingProxyType

import psycopg

from job import statements
from job.database import (
    holdings,
    ledger,
    marks,
    notes,
    path_view,
    sentinel,
    their_settings,
    values,
    wire,
)
from job.database.failure import failure_of
from job.database.fence import fence_sql
from job.database.message import (
    AlreadyThere,
    Closing,
    Context,
    Deliver,
    Outcome,
    Part,
    Role,
    Sent,
    Suspects,
    at_once,
    at_once_from_the_start,
    begin,
    ours,
)
from job.database.path import OUR_PATH
from job.database.piecewise import piecewise
from job.database.pooler import Pooling
from job.database.restart import Made, put_back
from job.database.sequences import Standing, standing_sql
from job.database.transaction import (
    END_OF_STATEMENTS,
    RESET,
    begin_sql,
    clean_up,
    step_settings,
)
from job.delivery import Delivery
from job.errors import InternalError, ServerError
from job.gap import Gap, relies_on
from job.loss import (
    Holdings,
    Loss,
    Names,
    Verb,
    detached,
    losses,
    of_rows,
    renames,
    rewrites,
    rewritten,
)
from job.meddling import meddling
from job.plan import Drift, Failure, LedgerEntry, Step, StepResult
from job.verdict import judge_losses, judge_meddling, judge_uncounted


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a step: a result, a failure that has left nothing, or None when overtaken.

    `delivery` is how it should be tried again, and `standing` where sequences stood at first.
    `gaps` are the sequences that went on behind what a try has drawn that was rolled back.
    """

    outcome: StepResult | Failure | None
    delivery: Delivery
    standing: Standing | None = None
    gaps: tuple[Gap, ...] = ()


Attempt = Callable[[Context, Standing | None], tuple[Outcome, Standing | None]]
"""One try, given where sequences stood before the first; and where they stand at its own start."""


def run_script(context: Context, standing: Standing | None = None) -> Tried:
    """Run the step; `standing` is where sequences stood before the tries that came before."""
    return until_kept(context, standing, _try)


def until_kept(context: Context, standing: Standing | None, attempt: Attempt) -> Tried:
    """Try until the step is kept or fails, each time in the way that the last try asks for."""
    started = time.monotonic()
    while True:
        outcome, now = attempt(context, standing)
        standing = standing or now
        if isinstance(outcome, Sent):
            result = result_of(context.step, outcome, time.monotonic() - started)
            return Tried(result, context.delivery, standing, outcome.gaps)
        _roll_back(context)
        if not isinstance(outcome, Suspects | AlreadyThere):
            return Tried(outcome, context.delivery, standing)
        context = replace(context, delivery=learned(context, outcome))


def learned(context: Context, outcome: Suspects | AlreadyThere) -> Delivery:
    """Return how to deliver the step after a try that had to be taken back."""
    delivery = context.delivery
    again = (
        delivery.watching(outcome.oids) if isinstance(outcome, Suspects) else delivery.in_pieces()
    )
    if again == delivery:
        raise InternalError(f"{context.step.label}: a guard spoke where it was not asked")
    return again


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
        tuple(str(gap) for gap in sent.gaps),
    )


def opening(
    context: Context,
    *,
    isolation: str = "",
    is_again: bool = False,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> list[Part]:
    """Return what a step begins with, up to its preamble; `settings` come on top of its own.

    Where it may draw from sequences, it tells where they stand, and where it is tried again, what
    the tries before have drawn from.
    """
    place, step, delivery = context.place, context.step, context.delivery
    parts = [
        Part(begin_sql(step, isolation)),
        Part(step_settings(place, step, **dict(settings))),
        Part(fence_sql(place, step), Role.FENCE),
        Part(sentinel.begin_sql(context.schema, step.text)),
    ]
    if delivery.moves_sequences:
        parts.append(Part(_standing_sql(context, is_again=is_again), Role.STANDING))
    return parts


def closing(
    context: Context, drifts: tuple[Drift, ...] = (), gaps: Sequence[Gap] = ()
) -> list[Part]:
    """Return what a step ends with; the guard in it lets nothing pass that may be a loss."""
    texts = [
        *END_OF_STATEMENTS,
        sentinel.guard_sql(context.schema),
        *_keep(context, (), drifts, gaps),
    ]
    return [Part(text, Role.CLOSING) for text in texts]


def _try(context: Context, first: Standing | None) -> tuple[Outcome, Standing | None]:
    """Try once; what we ask in between may fail as the step's own statements do."""
    try:
        if context.delivery.is_plain and first is None:
            parts = [*opening(context), *preamble(context)]
            return at_once_from_the_start(context, parts, lambda drifts: closing(context, drifts))
        return _try_in_parts(context, first)
    except ServerError as error:
        if not isinstance(error.__cause__, psycopg.Error):
            raise
        failed = context.failed
        failure = failure_of(context.step, error.__cause__, index=0, offset=None, failed=failed)
        return failure, None


def _try_in_parts(context: Context, first: Standing | None) -> tuple[Outcome, Standing | None]:
    """Open the transaction, put back what earlier tries have drawn, and look, before the step."""
    begun, now, gaps = begin_again(context, first)
    if not isinstance(begun, Sent):
        return begun, now
    deliver: Deliver = piecewise if context.delivery.is_piecewise else at_once
    if context.step.is_replay:
        outcome = _replay(context, deliver, gaps)
    elif context.delivery.is_watched:
        outcome = _watch(context, deliver, gaps)
    else:
        own = preamble(context)
        outcome = deliver(context, own, lambda drifts: closing(context, drifts, gaps))
    return (replace(outcome, gaps=gaps) if isinstance(outcome, Sent) else outcome), now


def begin_again(
    context: Context, first: Standing | None
) -> tuple[Outcome, Standing | None, tuple[Gap, ...]]:
    """Open the step's transaction by itself, and put back what the tries before have drawn.

    Returns what came of it, where sequences stood, and the gaps that stay. Where a full look
    follows, rows that others delete meanwhile are not to be counted as our loss.
    """
    looks = context.delivery.is_watched or context.step.is_replay
    isolation = "isolation level repeatable read" if looks else ""
    parts = opening(context, isolation=isolation, is_again=first is not None)
    begun, now = begin(context, parts)
    gaps = _put_back(context, first, now) if isinstance(begun, Sent) else ()
    return begun, now, gaps


def _put_back(context: Context, first: Standing | None, now: Standing | None) -> tuple[Gap, ...]:
    if first is None or now is None:
        return ()
    earlier = takewhile(lambda step: step is not context.step, context.steps)
    names = (a.relation for step in earlier for s in step.statements for a in s.creates)
    made = Made(context.newest, frozenset(names))
    return put_back(context.place, _standing_sql(context), first, now, made)


def _standing_sql(context: Context, *, is_again: bool = False) -> str:
    function, pid = (
        sentinel.functions(context.schema).sequences,
        context.place.guard.info.backend_pid,
    )
    return standing_sql(function, pid, context.delivery.reached, is_again=is_again)


def _roll_back(context: Context) -> None:
    """Undo the step; what it has prepared outlives that, and would be in its way the next time.

    In one message: behind a pooler the session is somebody else's after it.
    """
    left = clean_up(context.step)
    if left:
        wire.ask(context.place.work, "; ".join(["rollback", *left]))
    wire.roll_back(context.place.work)


def _watch(context: Context, deliver: Deliver, gaps: tuple[Gap, ...]) -> Outcome:
    """Run the step between two full looks, and keep only what is declared.

    Rows are counted of tables that its text names as losing some. Where the sentinel suspects one
    that was not counted, it has to be run again. So are the values of
    columns that get a type which may not hold them.
    """
    work, step, schema = context.place.work, context.step, context.schema
    delivery, settings = context.delivery, context.place.settings
    path = None if delivery.has_own_path else context.path
    before = holdings.read_holdings(work, schema, delivery.suspects, delivery.counted, path)
    names = _names(context, before)
    stake = values.at_stake(work, schema, statements.conversions(step.statements), before)
    if refusal := judge_uncounted(step, stake.in_danger, settings, names):
        return refusal
    sent = deliver(context, preamble(context), _to_be_judged(context))
    if not isinstance(sent, Sent):
        return sent
    if unknown := before.uncounted(sent.suspects):
        return Suspects(unknown)
    after = holdings.read_holdings(work, schema, before.to_recount(sent.suspects))
    gone = losses(before, after)
    found = (*gone, *values.lost(work, stake, gone))
    parted = values.tell_detached(work, detached(before, after))
    changed = (*found, *renames(before, after), *rewrites(before, after), *parted)
    may_be_said = (*_told_by_text(step), *of_rows(before, after), *stake.conversions)
    declarable = (*changed, *sent.gone, *may_be_said)
    if refusal := judge_losses(step, found, declarable, settings, names):
        return refusal
    told = [str(loss) for loss in changed]
    end(context, [sentinel.forget_sql(), *_keep(context, told, sent.drifts, gaps)])
    return replace(sent, losses=changed)


def _told_by_text(step: Step) -> tuple[Loss, ...]:
    """Return what the step does only to what is there: a declaration of it is never idle."""
    dropped = (loss for s in step.statements for loss in statements.guarded_drops(s))
    converted = statements.conversions(step.statements)
    names = (f"{c.schema or 'public'}.{c.table}.{c.column}" for c in converted)
    return (*dropped, *(Loss(Verb.REWRITE, name) for name in names))


def _replay(context: Context, deliver: Deliver, gaps: tuple[Gap, ...]) -> Outcome:
    """Run a step on a database from before its ledger, and keep only what it added.

    A table in a new file may have been emptied, which no counter tells: then once more, with its
    rows counted.
    """
    work, step, schema = context.place.work, context.step, context.schema
    suspects = context.delivery.suspects
    before = marks.read_marks(work, schema)
    held = holdings.read_holdings(work, schema, suspects)
    if sentinel.is_blinding(step.text) and (unknown := held.tables.keys() - suspects):
        return Suspects(frozenset(unknown))
    sent = deliver(context, preamble(context), _to_be_judged(context))
    if not isinstance(sent, Sent):
        return sent
    meddled = meddling(before, marks.read_marks(work, schema))
    left = holdings.read_holdings(work, schema, held.counted)
    lost = tuple(f"would take away: {loss}" for loss in losses(held, left))
    if refusal := judge_meddling(step, (*lost, *meddled)):
        return refusal
    if fresh := set(rewritten(held, left)) - suspects:
        return Suspects(frozenset(fresh))
    end(context, _keep(context, (), sent.drifts, gaps))
    return sent


def _names(context: Context, before: Holdings) -> Names:
    """Return what a declaration without schema means, before the step has moved anything."""
    if not context.step.declarations:
        return Names()
    schemas = path_view.read_schemas(context.place.work, context.place.settings.endpoint)
    return Names(schemas, frozenset(table.name for table in before.tables.values()))


def preamble(context: Context) -> list[Part]:
    """Return what stands in front of the step's own statements: the search_path is theirs there."""
    return ours(their_settings.before(context.place, context.step))


def _to_be_judged(context: Context) -> Closing:
    """Return what the second look follows: under our settings, not those that the file has left."""
    texts = (*END_OF_STATEMENTS, step_settings(context.place, context.step))
    parts = [Part(text, Role.CLOSING) for text in texts]
    parts.append(Part(sentinel.suspects_sql(context.schema), Role.SUSPECTS))
    return lambda _: parts


def end(context: Context, texts: Sequence[str]) -> None:
    """Send what ends the step for good."""
    wire.ask(context.place.work, "; ".join(texts))


def _keep(
    context: Context, told: Sequence[str], drifts: tuple[Drift, ...], gaps: Sequence[Gap]
) -> list[str]:
    """Return what ends the step for good: the reset, the row, COMMIT."""
    found = [asdict(drift) for drift in drifts]
    entry = context.step.entry
    done = [ledger.done_sql(context.schema, entry, told, found)] if entry else []
    is_shared = context.place.pooling is Pooling.TRANSACTION
    left = clean_up(context.step) if is_shared else []
    noted = [
        notes.note_gap_sql(context.schema, later, str(gap)) for later, gap in relying(context, gaps)
    ]
    return [*RESET, *left, OUR_PATH, *noted, *done, "commit"]


def relying(context: Context, gaps: Sequence[Gap]) -> list[tuple[LedgerEntry, Gap]]:
    """Return the later files that count on numbers which a sequence has skipped."""
    if not gaps:
        return []
    from_here = dropwhile(lambda step: step is not context.step, context.steps)
    return [
        (later.entry, gap)
        for later in islice(from_here, 1, None)
        for gap in gaps
        if later.entry and relies_on(later, gap)
    ]
