"""How the statements of a step reach the server: all at once, in one message.

`pieces` has the other way, for a step that may find its objects there already.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

from job import statements
from job.database import sentinel, wire
from job.database.blockers import Watch
from job.database.failure import failure_of
from job.database.fence import STOPPED
from job.database.place import Workplace
from job.database.shape import absent_sql
from job.database.transaction import rows_written
from job.database.wire import Answer
from job.exit_codes import ExitCode
from job.loss import Loss
from job.plan import Drift, Failure, Statement, Step

_DIVISION_BY_ZERO = "22012"
_FENCE = 2  # its place in a step's opening, behind BEGIN and the settings


@dataclass(frozen=True, slots=True)
class Context:
    """A step, where it runs, how it ends when a statement fails, and who watches."""

    place: Workplace
    step: Step
    failed: ExitCode
    watch: Watch

    @property
    def schema(self) -> str:
        """The ledger's schema."""
        return self.place.settings.ledger_schema


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of a step's statements.

    How many rows they wrote, what the step has taken away or renamed, what it found to be there
    already, what PostgreSQL said it skips, what is there in another shape, and what was gone before
    it came to take it away.
    """

    rows: int = 0
    losses: tuple[Loss, ...] = ()
    duplicates: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    drifts: tuple[Drift, ...] = ()
    gone: tuple[Loss, ...] = ()


@dataclass(frozen=True, slots=True)
class Suspects:
    """The guard's word that something may be lost, and the tables that it may be lost from."""

    oids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AlreadyThere:
    """Something that the step creates is there: it has to be run in pieces."""


Outcome = Sent | Suspects | AlreadyThere | Failure | None
"""None says that somebody else was faster: look again."""

Closing = Callable[[tuple[Drift, ...]], list[str]]
"""What ends a step, once it is known what is there in another shape."""

Delivery = Callable[[Context, list[str], Closing], Outcome]


def at_once(context: Context, opening: list[str], closing: Closing) -> Outcome:
    """Send opening, statements and closing in one message; more only where COPY brings data."""
    step, work, tick = context.step, context.place.work, context.watch.tick
    guarded = [a for s in step.statements for a in s.creates if a.is_guarded]
    if guarded:
        opening = [*opening, absent_sql(guarded)]
    rows = 0
    notices: tuple[str, ...] = ()
    for message in _messages(step, opening, closing(())):
        if message.data is not None:
            answer = wire.send_copy(work, message.text, message.data, on_tick=tick)
        else:
            answer = wire.send(work, message.text, on_tick=tick)
        notices += answer.skipped
        if answer.error is None:
            rows += rows_written(answer, message.before, message.count)
            continue
        if guarded and _has_failed(answer, message.before - 1, _DIVISION_BY_ZERO):
            return AlreadyThere()
        return _refused(context, message, answer)
    return Sent(rows, notices=notices)


def begin(context: Context, opening: list[str]) -> Outcome:
    """Send a step's opening by itself; None when its fence does not let it pass."""
    answer = wire.send(context.place.work, ";\n".join(opening), on_tick=context.watch.tick)
    if answer.error is None:
        return Sent()
    if _has_failed(answer, _FENCE, *STOPPED):
        return None
    return failure_of(context.step, answer.error, index=0, offset=None, failed=context.failed)


def end(context: Context, closing: list[str]) -> Outcome:
    """Send a step's closing by itself."""
    answer = wire.send(context.place.work, ";\n".join(closing), on_tick=context.watch.tick)
    if answer.error is None:
        return Sent()
    count = len(context.step.statements)
    return suspects(context, answer) or failure_of(
        context.step, answer.error, index=count, offset=None, failed=context.failed
    )


def suspects(context: Context, answer: Answer) -> Suspects | None:
    """Return what the guard suspects, where it was the guard that has raised."""
    if answer.error is None or not sentinel.has_spoken(context.schema, answer.error):
        return None
    detail = answer.error.diag.message_detail or "[]"
    return Suspects(tuple(int(oid) for oid in json.loads(detail)))


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


def _refused(context: Context, message: _Message, answer: Answer) -> Outcome:
    """Tell what a message's error means for the step."""
    step, error = context.step, answer.error
    assert error is not None  # noqa: S101 - only called with one
    if message.before > _FENCE and _has_failed(answer, _FENCE, *STOPPED):
        return None
    is_behind = answer.failed_index >= message.before + message.count
    if is_behind and (suspected := suspects(context, answer)):
        return suspected
    index = message.first + answer.failed_index - message.before
    if 0 <= index < len(step.statements) and statements.tolerates(
        step.statements[index], error.sqlstate or ""
    ):
        return AlreadyThere()
    position = error.diag.statement_position
    offset = message.offset + int(position) - 1 if position else None
    return failure_of(step, error, index=index, offset=offset, failed=context.failed)


def _has_failed(answer: Answer, index: int, *sqlstates: str) -> bool:
    error = answer.error
    return error is not None and answer.failed_index == index and error.sqlstate in sqlstates


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
