"""Runs a step between two full looks, and keeps it only if what it takes away is declared."""

from dataclasses import replace

from job import statements
from job.allowance import Names, to_declare
from job.database import frame, holdings, made, marks, path_view, sentinel, values
from job.database.message import (
    Closing,
    Context,
    Deliver,
    Outcome,
    Part,
    Role,
    Sent,
    Suspects,
)
from job.database.transaction import END_OF_STATEMENTS, step_settings
from job.gap import Gap
from job.loss import Holdings, Loss, Verb, detached, losses, of_rows, renames, rewrites, rewritten
from job.meddling import meddling
from job.plan import Step
from job.verdict import asked_elsewhere, judge_losses, judge_meddling, judge_uncounted


def watch(context: Context, deliver: Deliver, gaps: tuple[Gap, ...]) -> Outcome:
    """Run the step between two full looks, and keep only what is declared.

    Counted are the rows of tables that its text names as losing some, and the values of columns
    that get a type which may not hold them. Where the sentinel suspects another table, the step has
    to be run again with its rows counted.
    """
    work, step, schema = context.place.work, context.step, context.schema
    delivery, settings = context.delivery, context.place.settings
    path = None if delivery.has_own_path else context.path
    before = holdings.read_holdings(work, schema, delivery.suspects, delivery.counted, path)
    names = _names(context, before)
    stake = values.at_stake(work, schema, statements.conversions(step.statements), before)
    if refusal := judge_uncounted(step, stake.in_danger, settings, names):
        return refusal
    sent = deliver(context, frame.preamble(context), _to_be_judged(context))
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
    let_pass = asked_elsewhere(step, found, names)
    told = [str(loss) for loss in changed]
    frame.end(context, [sentinel.forget_sql(), *frame.keep(context, told, sent.drifts, gaps)])
    shown = tuple(loss for loss in changed if loss not in let_pass)
    return replace(sent, losses=shown, asked=to_declare(let_pass, names))


def _told_by_text(step: Step) -> tuple[Loss, ...]:
    """Return what the step may do, depending on what is there: declaring it is never an error."""
    dropped = (loss for s in step.statements for loss in statements.guarded_drops(s))
    converted = statements.conversions(step.statements)
    names = (f"{c.schema or 'public'}.{c.table}.{c.column}" for c in converted)
    return (*dropped, *(Loss(Verb.REWRITE, name) for name in names))


def replay(context: Context, deliver: Deliver, gaps: tuple[Gap, ...]) -> Outcome:
    """Run a step on a database from before its ledger, and keep only what it added.

    A table that was rewritten may have been emptied, which no counter shows: then the step is run
    once more, with the table's rows counted.
    """
    work, step, schema = context.place.work, context.step, context.schema
    suspects = context.delivery.suspects
    before = marks.read_marks(work, schema)
    held = holdings.read_holdings(work, schema, suspects)
    if sentinel.is_blinding(step.text) and (unknown := held.tables.keys() - suspects):
        return Suspects(frozenset(unknown))
    sent = deliver(context, frame.preamble(context), _to_be_judged(context))
    if not isinstance(sent, Sent):
        return sent
    meddled = meddling(before, marks.read_marks(work, schema))
    left = holdings.read_holdings(work, schema, held.counted)
    lost = tuple(f"would take away: {loss}" for loss in losses(held, left))
    if refusal := judge_meddling(step, (*lost, *meddled)):
        return refusal
    if fresh := set(rewritten(held, left)) - suspects:
        return Suspects(frozenset(fresh))
    frame.end(context, frame.keep(context, (), sent.drifts, gaps))
    return sent


def _names(context: Context, before: Holdings) -> Names:
    """Return what a declaration without schema means, as of before the step, and what we made."""
    place = context.place
    schemas = path_view.read_schemas(place.work, place.settings.endpoint)
    tables = frozenset(table.name for table in before.tables.values())
    ours = made.read(place.work, context.schema) if place.is_blank else (frozenset(), frozenset())
    return Names(
        schemas,
        tables,
        above=before.above(),
        partitions=before.partitions(),
        partitioned=before.partitioned(),
        made=before.names_of(*ours),
    )


def _to_be_judged(context: Context) -> Closing:
    """Return what stands before the second look: our settings in place of those of the file."""
    texts = (*END_OF_STATEMENTS, step_settings(context.place, context.step))
    parts = [Part(text, Role.CLOSING) for text in texts]
    parts.append(Part(sentinel.suspects_sql(context.schema), Role.SUSPECTS))
    return lambda _: parts
