"""How the statements of a step reach the server: all at once, in one message.

`pieces` has the other way, for a step that finds its objects there already.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import accumulate, groupby

import psycopg

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
from job.plan import Drift, Failure, Step

_DIVISION_BY_ZERO = "22012"
_FENCE = 2  # its place in a step's opening, behind BEGIN and the settings
_SEPARATOR = "\n;\n"  # a statement may end with a comment


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


class Role(Enum):
    """What a statement that is sent is for, and so what its failure means."""

    OURS = auto()
    FENCE = auto()
    QUESTION = auto()  # whether what the next one creates only if it is not there, is there
    OWN = auto()
    CLOSING = auto()


@dataclass(frozen=True, slots=True)
class Piece:
    """A statement as it is sent; for the step's own, and its question, `number` counts from 0."""

    text: str
    role: Role = Role.OURS
    number: int = 0
    data: str | None = None


def pieces_of(step: Step, opening: Sequence[str], closing: Sequence[str]) -> tuple[Piece, ...]:
    """Return all that is sent of a step, in order.

    Before each statement with IF NOT EXISTS stands the question whether it would skip anything: the
    file itself may have made it by then, or moved the search_path.
    """
    pieces = [
        Piece(text, Role.FENCE if i == _FENCE else Role.OURS) for i, text in enumerate(opening)
    ]
    for number, statement in enumerate(step.statements):
        guarded = [address for address in statement.creates if address.is_guarded]
        if guarded:
            pieces.append(Piece(absent_sql(guarded), Role.QUESTION, number))
        pieces.append(Piece(statement.text, Role.OWN, number, statement.data))
    return (*pieces, *(Piece(text, Role.CLOSING) for text in closing))


def at_once(context: Context, opening: list[str], closing: Closing) -> Outcome:
    """Send opening, statements and closing in one message; more only where COPY brings data."""
    step, work, tick = context.step, context.place.work, context.watch.tick
    rows = 0
    notices: tuple[str, ...] = ()
    for message in _messages(pieces_of(step, opening, closing(()))):
        text = _SEPARATOR.join(piece.text for piece in message)
        if (data := message[0].data) is not None:
            answer = wire.send_copy(work, text, data, on_tick=tick)
        else:
            answer = wire.send(work, text, on_tick=tick)
        notices += answer.skipped
        if answer.error is not None:
            return _refused(context, message, answer)
        rows += rows_of(message, answer)
    return Sent(rows, notices=notices)


def begin(context: Context, opening: list[str]) -> Outcome:
    """Send a step's opening by itself; None when its fence does not let it pass."""
    answer = wire.send(context.place.work, _SEPARATOR.join(opening), on_tick=context.watch.tick)
    if answer.error is None:
        return Sent()
    if answer.failed_index == _FENCE and answer.error.sqlstate in STOPPED:
        return None
    return failure_of(context.step, answer.error, index=0, offset=None, failed=context.failed)


def end(context: Context, closing: list[str]) -> Outcome:
    """Send a step's closing by itself."""
    answer = wire.send(context.place.work, _SEPARATOR.join(closing), on_tick=context.watch.tick)
    if answer.error is None:
        return Sent()
    count = len(context.step.statements)
    return suspects(context, answer.error) or failure_of(
        context.step, answer.error, index=count, offset=None, failed=context.failed
    )


def suspects(context: Context, error: psycopg.Error) -> Suspects | None:
    """Return what the guard suspects, where it was the guard that has raised."""
    if not sentinel.has_spoken(context.schema, error):
        return None
    return Suspects(tuple(int(oid) for oid in json.loads(error.diag.message_detail or "[]")))


def rows_of(pieces: Sequence[Piece], answer: Answer) -> int:
    """Add up what the step's own statements among these have written."""
    return sum(
        rows_written(answer, index, 1) for index, p in enumerate(pieces) if p.role is Role.OWN
    )


def _refused(context: Context, message: Sequence[Piece], answer: Answer) -> Outcome:
    """Tell what a message's error means for the step. A position is one in the whole message."""
    error = answer.error
    assert error is not None  # noqa: S101 - only called with one
    index, offset = min(answer.failed_index, len(message) - 1), None
    if position := error.diag.statement_position:
        starts = list(accumulate((len(p.text) + len(_SEPARATOR) for p in message), initial=0))
        index = max(i for i in range(len(message)) if starts[i] < int(position))
        offset = int(position) - 1 - starts[index]
    return meaning(context, message[index], error, offset)


def meaning(context: Context, piece: Piece, error: psycopg.Error, offset: int | None) -> Outcome:
    """Tell what the failure of one piece means for its step; `offset` is a place in its text."""
    step, sqlstate = context.step, error.sqlstate or ""
    match piece.role:
        case Role.FENCE if sqlstate in STOPPED:
            return None
        case Role.QUESTION if sqlstate == _DIVISION_BY_ZERO:
            return AlreadyThere()
        case Role.CLOSING if suspected := suspects(context, error):
            return suspected
        case Role.OWN if statements.tolerates(step.statements[piece.number], sqlstate):
            return AlreadyThere()
    number = len(step.statements) if piece.role is Role.CLOSING else piece.number
    if piece.role is Role.OWN and offset is not None:
        offset += step.statements[number].start - step.statements[0].start
    else:
        offset = None
    return failure_of(step, error, index=number, offset=offset, failed=context.failed)


def _messages(pieces: Sequence[Piece]) -> Iterator[tuple[Piece, ...]]:
    """Cut where COPY brings data: it is a message of its own."""
    for _, run in groupby(enumerate(pieces), key=lambda p: p[0] if p[1].data is not None else -1):
        yield tuple(piece for _, piece in run)
