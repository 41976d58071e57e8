"""Runs a step of a seed or a fallback: one statement at a time, values bound, one transaction.

Neither is meant to take anything away, and the sentinel sees to that.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

import psycopg

from predeploy.contract.plan import Failure
from predeploy.contract.secret import Secret
from predeploy.database.sentinel import holdings, sentinel
from predeploy.database.sentinel.sequences import Standing
from predeploy.database.server import wire
from predeploy.database.server.failure import failure_of
from predeploy.database.server.stream import stream
from predeploy.database.server.transaction import END_OF_STATEMENTS, RESET
from predeploy.database.session.run_context import step_settings
from predeploy.database.steps import frame, lockout, script
from predeploy.database.steps.message import (
    Attempt,
    Outcome,
    Part,
    Reply,
    Role,
    Sent,
    Suspects,
    suspects,
)
from predeploy.database.steps.script import Tried
from predeploy.judgment.verdict import judge_losses
from predeploy.losses.loss import doubtful, losses, rewritten


def run_bound(attempt: Attempt, standing: Standing | None = None) -> Tried:
    """Run the step; a failure has left nothing of it, and does not quote its values."""
    return script.until_kept(attempt, standing, _try)


def _try(attempt: Attempt, first: Standing | None) -> tuple[Outcome, Standing | None]:
    """Send the step behind the guard, COMMIT included; in more messages where it is tried again."""
    preamble = frame.preamble(attempt)
    guarded = (*END_OF_STATEMENTS, sentinel.guard_sql(attempt.schema), *_keep(attempt))
    if first is None and not attempt.delivery.is_watched:
        return _stream(attempt, [*frame.opening(attempt), *preamble], guarded)
    begun, now, gaps = script.begin_again(attempt, first)
    if not isinstance(begun, Sent):
        return begun, now
    if attempt.delivery.is_watched:
        outcome = _watch(attempt)
    else:
        outcome, _ = _stream(attempt, preamble, guarded)
    return (replace(outcome, gaps=gaps) if isinstance(outcome, Sent) else outcome), now


def _watch(attempt: Attempt) -> Outcome:
    """Send the step between two full looks, and commit only what has lost nothing."""
    context, step, schema = attempt.context, attempt.step, attempt.schema
    counted = lockout.count_in_doubt(attempt)
    if isinstance(counted, Failure):
        return counted
    before = holdings.read_holdings(
        context.work, schema, attempt.delivery.suspects, exactly=counted
    )
    again = Part(sentinel.begin_sql(schema, step.texts))
    texts = (*END_OF_STATEMENTS, step_settings(context, step))
    sent, _ = _stream(attempt, [again, *frame.preamble(attempt)], texts)
    if not isinstance(sent, Sent):
        return sent
    ((told,),) = wire.ask(context.work, sentinel.suspects_sql(schema))
    suspected = sentinel.parse_suspicion(told)
    before, after = holdings.read_again(
        context.work, context.guard, schema, before, before.family(counted)
    )
    if suspected.is_doubtful and (unknown := doubtful(before, after, suspected.oids)):
        return Suspects(frozenset(unknown), is_doubtful=True)
    if fresh := suspected.oids & set(rewritten(before, after)):
        return Suspects(fresh)
    found = losses(before, after)
    if refusal := judge_losses(step, found, found, context.settings):
        return replace(refusal, remedy="take it out: what is made or inserted here only adds")
    frame.end(attempt, _keep(attempt))
    return sent


def _keep(attempt: Attempt) -> tuple[str, ...]:
    return (*frame.what_is_made(attempt), *RESET, "commit")


def _stream(
    attempt: Attempt, opening: Sequence[Part], ending: Sequence[str]
) -> tuple[Outcome, Standing | None]:
    """Send the step's statements between ours in one round trip."""
    step = attempt.step
    own = [Part(s.text, Role.OWN, number) for number, s in enumerate(step.statements)]
    parts = [*opening, *own, *(Part(text, Role.CLOSING) for text in ending)]
    values = {
        number: [v.reveal() if isinstance(v, Secret) else v for v in bound]
        for number, bound in enumerate(step.binds)
    }
    sent = [(p.text, values[p.number] if p.role is Role.OWN else ()) for p in parts]
    with closing(stream(attempt.context.work, [sent], attempt.monitor.tick)) as answers:
        reply = Reply(parts, next(answers))
    if reply.answer.error is None:
        return Sent(reply.rows), reply.standing
    return _failed(attempt, reply, reply.answer.error), reply.standing


def _failed(attempt: Attempt, reply: Reply, error: psycopg.Error) -> Suspects | Failure:
    step, part = attempt.step, reply.failed_part
    if part.role is Role.CLOSING and sentinel.has_spoken(attempt.schema, error):
        return suspects(error)
    position, offset = error.diag.statement_position, None
    if position and part.role is Role.OWN:
        start = step.statements[part.number].start - step.statements[0].start
        offset = start + int(position) - 1
    index = {Role.OWN: part.number, Role.CLOSING: len(step.statements)}.get(part.role, 0)
    return failure_of(step, error, index=index, offset=offset, failed=attempt.failed)
