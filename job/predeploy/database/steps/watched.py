"""Runs a step between two full looks, and keeps it only if its losses are declared."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from predeploy import sql
from predeploy.contract.plan import Failure
from predeploy.contract.step import Addition, Step
from predeploy.database.catalog import granted, path_view
from predeploy.database.sentinel import catalog_state, holdings, made, sentinel, values
from predeploy.database.server import wire
from predeploy.database.server.transaction import END_OF_STATEMENTS
from predeploy.database.steps import frame, lockout
from predeploy.database.steps.message import Attempt, Closing, Part, Role, ours
from predeploy.database.steps.outcome import Deliver, Outcome, Sent, Suspects
from predeploy.judgment.gap import Gap
from predeploy.judgment.replay_check import changes_of_the_old
from predeploy.judgment.verdict import (
    asked_elsewhere,
    judge_losses,
    judge_replay,
    judge_uncounted,
)
from predeploy.losses.allowlist import Names, to_ask, to_declare, undeclared
from predeploy.losses.loss import (
    Holdings,
    Loss,
    Verb,
    detached,
    doubtful,
    losses,
    made_anew,
    of_rows,
    renames,
    rewrites,
    rewritten,
)
from predeploy.losses.values import Column
from predeploy.settings import Destructive

_OF_ROWS = (Verb.DELETE, Verb.TRUNCATE)


@dataclass(frozen=True, slots=True)
class _Before:
    """What could be lost before the step; the rows of `counted` tables are counted and locked.

    `names` resolves declarations without schema; `stake` holds the columns' values at risk.
    """

    held: Holdings
    names: Names
    stake: values.Stake
    grants: granted.Before
    counted: frozenset[int]


def watch(attempt: Attempt, deliver: Deliver, gaps: tuple[Gap, ...]) -> Outcome:
    """Run the step between two full looks; keep it only if its losses are declared.

    The transaction's own counters tell what it deleted, whatever other sessions write meanwhile.
    Only if they cannot be trusted are the rows counted before and after, with writers locked out;
    so are the values of columns whose new type may not hold them. If something is found that should
    have been examined before, the step has to be run again.
    """
    work, step, schema = attempt.context.work, attempt.step, attempt.schema
    before = _look_before(attempt)
    if isinstance(before, Failure):
        return before
    started = ours([sentinel.begin_sql(schema, step.texts)])
    sent = deliver(attempt, [*started, *frame.preamble(attempt)], _to_be_judged(attempt))
    if not isinstance(sent, Sent):
        return sent
    changed = _judge(attempt, before, sent)
    if not isinstance(changed, tuple):
        return changed
    ungranted = granted.gone_since(work, schema, before.grants)
    told = [str(loss) for loss in changed]
    let_pass = asked_elsewhere(step, changed, before.names)
    frame.end(attempt, [sentinel.forget_sql(), *frame.keep(attempt, told, sent.drifts, gaps)])
    shown = tuple(loss for loss in changed if loss not in let_pass)
    asked = to_declare(let_pass, before.names)
    return replace(sent, losses=shown, asked=asked, ungranted=ungranted)


def _look_before(attempt: Attempt) -> _Before | Failure:
    """Look at what the step may remove; refuse it if that is too large to count and undeclared."""
    work, step, schema = attempt.context.work, attempt.step, attempt.schema
    delivery = attempt.delivery
    counted = lockout.count_in_doubt(attempt)
    if isinstance(counted, Failure):
        return counted
    path = None if delivery.has_own_path else attempt.path
    held = holdings.read_holdings(
        work, schema, delivery.suspects, delivery.counted, path, exactly=counted
    )
    names = _names(attempt, held)
    columns = values.find_columns(work, schema, sql.conversions(step.statements), path)
    in_danger = [column for column in columns if column.may_lose]
    too_large = (column.loss for column in in_danger if column.is_too_large)
    if refusal := judge_uncounted(step, too_large, attempt.context.settings, names):
        return refusal
    _lock_undeclared(attempt, in_danger, names)
    stake = values.at_stake(work, columns, held)
    return _Before(held, names, stake, granted.read_before(work, schema, step.texts), counted)


def _judge(attempt: Attempt, before: _Before, sent: Sent) -> tuple[Loss, ...] | Suspects | Failure:
    """Return what the step has removed or changed, if that may be kept."""
    work, step, settings = attempt.context.work, attempt.step, attempt.context.settings
    counted = before.held.family(before.counted)
    guard = attempt.context.guard
    held, after = holdings.read_again(work, guard, attempt.schema, before.held, counted)
    if unknown := sent.suspected.oids & set(rewritten(held, after)):
        return Suspects(unknown)
    in_doubt = _in_doubt(sent, held, after)
    said = step.declarations
    names = before.names
    asked = {oid: loss for oid, loss in in_doubt.items() if to_ask([loss], names)}
    unsaid = [oid for oid, loss in asked.items() if undeclared([loss], said, names)]
    if unsaid and settings.destructive is Destructive.REFUSE:
        return Suspects(frozenset(unsaid), is_doubtful=True)
    gone = _without_doubled(losses(held, after), in_doubt)
    found = (*gone, *values.lost(work, before.stake, gone))
    parted = values.tell_detached(work, detached(held, after))
    changed = (*found, *renames(held, after), *rewrites(held, after), *parted)
    may_be_said = (*_possible_losses(step), *of_rows(held, after), *before.stake.conversions)
    declarable = (*changed, *sent.gone, *made_anew(held, after), *may_be_said)
    return judge_losses(step, found, declarable, settings, names) or changed


def _in_doubt(sent: Sent, before: Holdings, after: Holdings) -> Mapping[int, Loss]:
    """Return possible losses of tables whose counters prove nothing and that were not counted."""
    suspected = sent.suspected
    return doubtful(before, after, suspected.oids) if suspected.is_doubtful else {}


def _without_doubled(gone: tuple[Loss, ...], in_doubt: Mapping[int, Loss]) -> tuple[Loss, ...]:
    """Report for each table either what its counters say, or that they are in doubt."""
    vague = {loss.target for loss in in_doubt.values()}
    sure = (loss for loss in gone if loss.verb not in _OF_ROWS or loss.target not in vague)
    return (*sure, *dict.fromkeys(in_doubt.values()))


def _lock_undeclared(attempt: Attempt, in_danger: list[Column], names: Names) -> None:
    """Lock others out of the tables whose values are counted for a decision.

    Not while statements before the conversion run that may take long; a step that starts by taking
    a table for itself gets the strong lock at once.
    """
    step = attempt.step
    asked = [
        column.key[0]
        for column in in_danger
        if not column.is_too_large
        and undeclared(to_ask([column.loss], names), step.declarations, names)
    ]
    is_brief = not any(
        sql.outlives_rollback(s) for s in step.statements if s.node != "alter_table_stmt"
    )
    lockout.lock(attempt, asked, lockout.EVERYBODY if is_brief else lockout.WRITERS)


def _possible_losses(step: Step) -> tuple[Loss, ...]:
    """Return what the step may do, depending on the database: declaring that is never an error."""
    dropped = (loss for s in step.statements for loss in sql.guarded_drops(s))
    converted = sql.conversions(step.statements)
    names = (f"{c.schema or 'public'}.{c.table}.{c.column}" for c in converted)
    return (*dropped, *(Loss(Verb.REWRITE, name) for name in names))


def replay(attempt: Attempt, deliver: Deliver, gaps: tuple[Gap, ...]) -> Outcome:
    """Run a step on a database older than its ledger; keep it only if it has just added.

    A rewritten table may have been emptied, which no counter shows: then the step is run once more,
    with the table's rows counted. The same applies if counters cannot be trusted.
    """
    work, step, schema = attempt.context.work, attempt.step, attempt.schema
    counted = attempt.delivery.doubtful
    before = catalog_state.read_state(work, schema)
    held = holdings.read_holdings(work, schema, attempt.delivery.suspects, exactly=counted)
    sent = deliver(attempt, frame.preamble(attempt), _to_be_judged(attempt))
    if not isinstance(sent, Sent):
        return sent
    changed = changes_of_the_old(before, catalog_state.read_state(work, schema))
    if refusal := judge_replay(step, changed):
        return refusal
    guard = attempt.context.guard
    held, left = holdings.read_again(work, guard, schema, held, held.family(counted))
    if unknown := _in_doubt(sent, held, left):
        return Suspects(frozenset(unknown), is_doubtful=True)
    if fresh := rewritten(held, left):
        return Suspects(frozenset(fresh))
    lost = tuple(f"would take away: {loss}" for loss in losses(held, left))
    if refusal := judge_replay(step, lost):
        return refusal
    frame.end(attempt, frame.keep(attempt, (), sent.drifts, gaps))
    return sent


def _names(attempt: Attempt, before: Holdings) -> Names:
    """Return how declarations without schema resolve, as of before the step, and what was made."""
    context = attempt.context
    schemas = path_view.read_schemas(context.work, context.settings.endpoint)
    tables = frozenset(table.name for table in before.tables.values())
    is_asked = not context.is_blank or isinstance(attempt.step, Addition)
    rows = [] if is_asked else wire.ask(context.work, made.made_sql(attempt.schema))
    return Names(
        schemas,
        tables,
        above=before.above(),
        partitions=before.partitions(),
        partitioned=before.partitioned(),
        made=before.names_of(*made.parse_made(rows)),
    )


def _to_be_judged(attempt: Attempt) -> Closing:
    """Return the statements before the second look, which restore predeploy's own settings."""
    texts = (*END_OF_STATEMENTS, frame.step_settings(attempt.context, attempt.step))
    parts = [Part(text, Role.CLOSING) for text in texts]
    parts.append(Part(sentinel.suspects_sql(attempt.schema), Role.SUSPECTS))
    return lambda _: parts
