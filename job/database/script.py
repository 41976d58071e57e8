"""Runs a step of a migration: one message, from BEGIN and the fence to the reset and COMMIT.

Before it commits, the sentinel looks at the transaction's own counters. When they say that
something may be lost, the step is rolled back and run once more, with a full look before and after.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from job.database import ledger, sentinel, wire
from job.database.blockers import Watch
from job.database.failure import failure_of
from job.database.place import Workplace
from job.database.transaction import RESET, RESET_ROLE, rows_written, step_settings
from job.errors import InternalError
from job.exit_codes import ExitCode
from job.loss import Loss, losses, renames, undeclared, unused
from job.meddling import meddling
from job.plan import Declaration, Failure, LedgerEntry, Statement, Step, StepResult
from job.settings import Destructive

_UNIQUE_VIOLATION = "23505"
_FENCE = 2  # its place in the first message, behind BEGIN and the settings
_END_OF_STATEMENTS = ["set constraints all immediate", RESET_ROLE]


@dataclass(frozen=True, slots=True)
class _Context:
    place: Workplace
    step: Step
    entry: LedgerEntry
    failed: ExitCode
    watch: Watch

    @property
    def schema(self) -> str:
        return self.place.settings.ledger_schema


def run_script(
    place: Workplace, step: Step, entry: LedgerEntry, failed: ExitCode, watch: Watch
) -> StepResult | Failure | None:
    """Run the step: a result, a failure that has left nothing of it, or None when overtaken."""
    started = time.monotonic()
    context = _Context(place, step, entry, failed, watch)
    outcome = _replay(context) if step.is_replay else _send(context)
    if isinstance(outcome, _Suspects):
        wire.roll_back(place.work)
        outcome = _send_carefully(context, outcome.oids)
    if isinstance(outcome, _Sent):
        duration_s = time.monotonic() - started
        told = tuple(str(loss) for loss in outcome.losses)
        return StepResult(step.label, duration_s, len(step.statements), outcome.rows, told)
    wire.roll_back(place.work)
    if isinstance(outcome, _Suspects):
        raise InternalError(f"{step.label}: the guard spoke where it was not asked")
    return outcome


@dataclass(frozen=True, slots=True)
class _Sent:
    """How many rows a step has written, and what it has taken away or renamed."""

    rows: int
    losses: tuple[Loss, ...] = ()


@dataclass(frozen=True, slots=True)
class _Suspects:
    """The guard's word that something may be lost, and the tables that it may be lost from."""

    oids: tuple[int, ...]


_Outcome = _Sent | _Suspects | Failure | None


def _send(context: _Context) -> _Outcome:
    """Send the step, COMMIT included; the guard in it lets nothing pass that may be a loss."""
    place, step, schema = context.place, context.step, context.schema
    opening = [
        "begin",
        step_settings(place, step),
        ledger.insert_sql(schema, context.entry, place.run_id),
        sentinel.begin_sql(schema),
        *step.preamble,
    ]
    closing = [
        *_END_OF_STATEMENTS,
        sentinel.guard_sql(schema, is_forced=bool(step.declarations)),
        RESET,
        ledger.done_sql(schema, context.entry),
        "commit",
    ]
    return _send_messages(context, opening, closing)


def _send_carefully(context: _Context, suspects: tuple[int, ...]) -> _Outcome:
    """Run the step between two full looks, and commit only what is declared.

    In REPEATABLE READ, so that rows which others delete meanwhile are not counted as our loss.
    """
    place, schema = context.place, context.schema
    begun = _begin_carefully(context)
    if not isinstance(begun, _Sent):
        return begun
    before = sentinel.read_holdings(place.work, schema, suspects)
    sent = _send_messages(context, list(context.step.preamble), _END_OF_STATEMENTS)
    if not isinstance(sent, _Sent):
        return sent
    after = sentinel.read_holdings(place.work, schema, suspects)
    found = losses(before, after)
    changed = (*found, *renames(before, after))
    if refusal := _judge(context, found, changed):
        return refusal
    told = [str(loss) for loss in changed]
    wire.ask(place.work, f"{RESET}; {ledger.done_sql(schema, context.entry, told)}; commit")
    return replace(sent, losses=changed)


def _begin_carefully(context: _Context) -> _Outcome:
    """Open the transaction and write the fence; None when somebody else's is there."""
    place, step = context.place, context.step
    opening = [
        "begin isolation level repeatable read",
        step_settings(place, step),
        ledger.insert_sql(context.schema, context.entry, place.run_id),
    ]
    nothing = replace(step, text="", statements=())
    return _send_messages(replace(context, step=nothing), opening, [])


def _replay(context: _Context) -> _Outcome:
    """Run a step on a database from before its ledger, and commit only what it added."""
    place, step, schema = context.place, context.step, context.schema
    begun = _begin_carefully(context)
    if not isinstance(begun, _Sent):
        return begun
    before = sentinel.read_marks(place.work, schema)
    sent = _send_messages(context, list(context.step.preamble), _END_OF_STATEMENTS)
    if not isinstance(sent, _Sent):
        return sent
    if meddled := meddling(before, sentinel.read_marks(place.work, schema)):
        return _meddled(step, meddled)
    wire.ask(place.work, f"{RESET}; {ledger.done_sql(schema, context.entry)}; commit")
    return sent


def _judge(context: _Context, found: tuple[Loss, ...], changed: tuple[Loss, ...]) -> Failure | None:
    step = context.step
    if idle := unused(changed, step.declarations):
        return _idle_declaration(step, idle[0])
    surprising = undeclared(found, step.declarations)
    if surprising and context.place.settings.destructive is Destructive.REFUSE:
        return _loss(step, surprising)
    return None


def _send_messages(context: _Context, opening: list[str], closing: list[str]) -> _Outcome:
    place, step = context.place, context.step
    rows = 0
    for message in _messages(step, opening, closing):
        if message.data is not None:
            answer = wire.send_copy(place.work, message.text, message.data)
        else:
            answer = wire.send(place.work, message.text, on_tick=context.watch.tick)
        if answer.error is None:
            rows += rows_written(answer, message.before, message.count)
            continue
        is_fence = message.before > _FENCE and answer.failed_index == _FENCE
        if is_fence and answer.error.sqlstate == _UNIQUE_VIOLATION:
            return None
        is_behind = answer.failed_index >= message.before + message.count
        if is_behind and answer.error.sqlstate == sentinel.SUSPICION:
            detail = answer.error.diag.message_detail or "[]"
            return _Suspects(tuple(int(oid) for oid in json.loads(detail)))
        index = message.first + answer.failed_index - message.before
        position = answer.error.diag.statement_position
        offset = message.offset + int(position) - 1 if position else None
        return failure_of(step, answer.error, index=index, offset=offset, failed=context.failed)
    return _Sent(rows)


def _loss(step: Step, surprising: tuple[Loss, ...]) -> Failure:
    lines = "; ".join(f"-- predeploy: allow {s.verb.value} {s.target}" for s in surprising[:3])
    return _refused(
        step,
        step.statements[0].line,
        ExitCode.REFUSED,
        f"would lose what nobody declared: {', '.join(str(loss) for loss in surprising)}",
        f"if it is meant, say so in the file: {lines}",
    )


def _meddled(step: Step, meddled: tuple[str, ...]) -> Failure:
    return _refused(
        step,
        step.statements[0].line,
        ExitCode.BAD_SOURCES,
        f"replayed on a database that was there before its ledger, it {'; '.join(meddled[:3])}",
        'if the file was run here before, say so: baseline = "VERSION" in predeploy.toml',
    )


def _idle_declaration(step: Step, idle: Declaration) -> Failure:
    return _refused(
        step,
        idle.line,
        ExitCode.BAD_SOURCES,
        f"allow {idle.verb} {idle.target} declares what the step does not do",
        "mend the name (as the catalog has it), or take the line out",
    )


def _refused(step: Step, line: int, exit_code: ExitCode, message: str, remedy: str) -> Failure:
    return Failure(exit_code, step.path, line, 1, sentinel.SUSPICION, message, remedy=remedy)


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
    prefix = "".join(f"{sql};\n" for sql in opening)
    suffix = ";\n".join(closing)
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
