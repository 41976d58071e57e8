"""What is sent of a step, and what the answers mean.

A step is sent as parts: one statement each, with the values of its parameters and with the role
that says what its failure or its row means. `transmit` sends the parts of one transaction or of
several in one round trip. Only COPY data is sent separately.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import Enum, auto
from itertools import chain

import psycopg

from predeploy import sql
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.grants import Ungranted
from predeploy.contract.plan import Drift, Failure
from predeploy.contract.secret import Secret
from predeploy.contract.step import Addition, Step
from predeploy.database.catalog.shape import absent_sql
from predeploy.database.sentinel import sentinel
from predeploy.database.sentinel.sentinel import UNSUSPECTED, Suspicion
from predeploy.database.sentinel.sequences import SequencePositions, parse_positions
from predeploy.database.server import wire
from predeploy.database.server.failure import failure_of
from predeploy.database.server.stream import Query, stream
from predeploy.database.server.transaction import name_sql, rows_written
from predeploy.database.server.wire import Answer, Connection
from predeploy.database.session import operator_settings
from predeploy.database.session.fence import STOPPED
from predeploy.database.session.lock_monitor import LockMonitor
from predeploy.database.session.run_context import RunContext
from predeploy.judgment.delivery import PLAIN, Delivery
from predeploy.judgment.gap import Gap
from predeploy.losses.loss import Loss

# The error of `absent_sql` if a name is taken.
_DIVISION_BY_ZERO = "22012"
_MOST_PARTS = 1_000  # in one message
_LONGEST_MESSAGE = 1 << 18  # characters, unless a single statement is longer


@dataclass(frozen=True, slots=True)
class Attempt:
    """A step with its context, its delivery, its exit code for a failure, and its monitor.

    `steps` are all steps of its plan, in order. `newest`, the largest OID of a relation, and
    `path`, the schemas of the session's search_path, are from before the first step.
    """

    context: RunContext
    step: Step
    failed: ExitCode
    monitor: LockMonitor
    delivery: Delivery = PLAIN
    steps: Sequence[Step] = ()
    # Larger than any OID: without a look no relation counts as made by this run.
    newest: int = 1 << 32
    path: tuple[str, ...] = ()

    @property
    def schema(self) -> str:
        """The ledger's schema."""
        return self.context.settings.ledger_schema


@dataclass(frozen=True, slots=True)
class Sent:
    """The result of a step's statements, while they can still be rolled back.

    `rows` were written. `losses` are what the step removed or renamed; `asked` are losses that
    needed no declaration, because predeploy had made what was lost. `duplicates` existed already,
    `notices` are what PostgreSQL skipped, `drifts` exist in another shape, and `gone` had been
    dropped before the step. `suspected` may have lost something, if the sentinel was asked. `gaps`
    are sequences that skipped numbers because of an earlier try; `ungranted` are objects whose
    grants were lost.
    """

    rows: int = 0
    losses: tuple[Loss, ...] = ()
    duplicates: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    drifts: tuple[Drift, ...] = ()
    gone: tuple[Loss, ...] = ()
    suspected: Suspicion = UNSUSPECTED
    gaps: tuple[Gap, ...] = ()
    ungranted: tuple[Ungranted, ...] = ()
    asked: tuple[Loss, ...] = ()


@dataclass(frozen=True, slots=True)
class Suspects:
    """The tables from which something may have been lost.

    `is_doubtful`: only counting their rows before and after can tell.
    """

    oids: frozenset[int]
    is_doubtful: bool = False


@dataclass(frozen=True, slots=True)
class AlreadyThere:
    """An object that the step creates exists already: the step must be run piecewise."""


Outcome = Sent | Suspects | AlreadyThere | Failure | None
"""The outcome of a try; None if another run was faster, so that the layer has to look again."""


class Role(Enum):
    """The purpose of a message's part, which decides what its failure or its row means."""

    OURS = auto()
    FENCE = auto()
    POSITIONS = auto()  # returns the positions of sequences
    QUESTION = auto()  # whether an object exists that the next part creates IF NOT EXISTS
    OWN = auto()  # one of the step's statements
    CLOSING = auto()
    SUSPECTS = auto()  # like CLOSING, and returns what may have lost something


@dataclass(frozen=True, slots=True)
class Part:
    """One statement; for the step's own, and its question, `number` counts from 0.

    `values` are those of its parameters, `$1` first; `data` is what follows a COPY … FROM STDIN.
    """

    text: str
    role: Role = Role.OURS
    number: int = 0
    data: str | None = None
    values: tuple[str | Secret, ...] = ()

    @property
    def query(self) -> Query:
        """The statement and its values as they go over the wire."""
        return self.text, [v.reveal() if isinstance(v, Secret) else v for v in self.values]


Closing = Callable[[tuple[Drift, ...]], list[Part]]
"""Returns the parts that end a step, given the objects that exist in another shape."""

Deliver = Callable[[Attempt, list[Part], Closing], Outcome]


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to parts that were sent together."""

    parts: Sequence[Part]
    answer: Answer

    @property
    def failed_part(self) -> Part:
        """The part that failed."""
        return self.parts[min(self.answer.failed_index, len(self.parts) - 1)]

    @property
    def rows(self) -> int:
        """How many rows the step's own statements have written."""
        return sum(
            rows_written(self.answer, index, 1)
            for index, part in enumerate(self.parts)
            if part.role is Role.OWN
        )

    @property
    def positions(self) -> SequencePositions | None:
        """The positions of sequences; None if not queried, or if the query was not reached."""
        return parse_positions(self._told(Role.POSITIONS))

    @property
    def suspected(self) -> Suspicion:
        """What may have lost something, as far as it was queried."""
        return sentinel.parse_suspicion(self._told(Role.SUSPECTS))

    def _told(self, role: Role) -> str | None:
        done = self.answer.results[: -1 if self.answer.error else None]
        for index, part in enumerate(self.parts[: len(done)]):
            if part.role is role:
                return self.answer.rows(index)[0][0]
        return None


def ours(texts: Iterable[str]) -> list[Part]:
    """Return generated statements as parts."""
    return [Part(text) for text in texts]


def own(attempt: Attempt) -> Iterator[Part]:
    """Yield the step's own statements as parts.

    Before each one with IF NOT EXISTS comes a query of whether it would be skipped: the file itself
    may have created the object, or changed the search_path. A seed or a fallback is meant to skip
    what exists, so nothing is asked there.
    """
    step = attempt.step
    if isinstance(step, Addition):
        pairs = zip(step.statements, step.binds, strict=True)
        for number, (statement, values) in enumerate(pairs):
            yield own_part(step, number, statement.text, values)
        return
    for number, statement in enumerate(step.statements):
        guarded = [address for address in statement.creates if address.is_guarded]
        if guarded:
            yield Part(absent_sql(guarded), Role.QUESTION, number)
        text = operator_settings.text_of(attempt.context, statement.text)
        yield own_part(step, number, text)
        yield from ours(operator_settings.behind(attempt.context, statement))


def own_part(step: Step, number: int, text: str, values: tuple[str | Secret, ...] = ()) -> Part:
    """Return one of the step's statements as a part, preceded by the step's name."""
    data = step.statements[number].data
    return Part(f"{name_sql(step)}{text}", Role.OWN, number, data, values)


def at_once(attempt: Attempt, opening: list[Part], closing: Closing) -> Outcome:
    """Send opening, statements and closing in one round trip, or in more.

    More are needed if COPY brings data, and for long steps.
    """
    outcome, _ = at_once_from_the_start(attempt, opening, closing)
    return outcome


def at_once_from_the_start(
    attempt: Attempt, opening: list[Part], closing: Closing
) -> tuple[Outcome, SequencePositions | None]:
    """Like `at_once`, and also return the positions of sequences that the opening queries."""
    rows = 0
    notices: tuple[str, ...] = ()
    suspected = UNSUSPECTED
    positions: SequencePositions | None = None
    for parts in _messages(chain(opening, own(attempt), closing(()))):
        reply = send(attempt, parts)
        positions = positions or reply.positions
        notices += reply.answer.skipped
        if reply.answer.error is not None:
            return _refused(attempt, reply), positions
        rows += reply.rows
        suspected |= reply.suspected
    return Sent(rows, notices=notices, suspected=suspected), positions


def begin(attempt: Attempt, opening: list[Part]) -> tuple[Outcome, SequencePositions | None]:
    """Send a step's opening separately; the outcome is None if its fence is not passed."""
    reply = send(attempt, opening)
    return (Sent() if reply.answer.error is None else _refused(attempt, reply)), reply.positions


def end(attempt: Attempt, closing: list[Part]) -> Outcome:
    """Send a step's closing separately."""
    reply = send(attempt, closing)
    if reply.answer.error is None:
        return Sent(suspected=reply.suspected)
    return meaning(attempt, reply.failed_part, reply.answer.error)


def send(attempt: Attempt, parts: Sequence[Part]) -> Reply:
    """Send parts of one transaction in one round trip; a part with data must be alone."""
    work, tick = attempt.context.work, attempt.monitor.tick
    first = parts[0]
    if first.data is not None:
        return Reply(parts, wire.send_copy(work, first.text, first.data, on_tick=tick))
    with closing(transmit(work, [parts], tick)) as replies:
        return next(replies)


def transmit(
    conn: Connection, transactions: Sequence[Sequence[Part]], tick: Callable[[], None]
) -> Generator[Reply, None, None]:
    """Send all transactions at once; yield the reply to each, up to the first with an error.

    See `stream` for the state of the connection afterwards.
    """
    sent = [[part.query for part in parts] for parts in transactions]
    with closing(stream(conn, sent, tick)) as answers:
        for parts, answer in zip(transactions, answers, strict=False):
            yield Reply(parts, answer)


def suspects(error: psycopg.Error) -> Suspects:
    """Return the tables that the guard's error names."""
    suspected = sentinel.parse_suspicion(error.diag.message_detail)
    return Suspects(suspected.oids, suspected.is_doubtful)


def meaning(attempt: Attempt, part: Part, error: psycopg.Error) -> Outcome:
    """Return what the failure of one part means for its step; None if another run was faster."""
    step, sqlstate = attempt.step, error.sqlstate or ""
    match part.role:
        case Role.FENCE if sqlstate in STOPPED:
            return None
        case Role.QUESTION if sqlstate == _DIVISION_BY_ZERO:
            return AlreadyThere()
        case Role.CLOSING if sentinel.has_spoken(attempt.schema, error):
            return suspects(error)
        case Role.OWN if _may_be_there(step, part, sqlstate):
            return AlreadyThere()
    is_behind = part.role in (Role.CLOSING, Role.SUSPECTS)
    number = len(step.statements) if is_behind else part.number
    offset = offset_in(step, part, error)
    return failure_of(step, error, index=number, offset=offset, failed=attempt.failed)


def _may_be_there(step: Step, part: Part, sqlstate: str) -> bool:
    """Whether the statement failed because what it creates exists, or what it drops does not."""
    if isinstance(step, Addition):
        return False
    return sql.tolerates(step.statements[part.number], sqlstate)


def offset_in(step: Step, part: Part, error: psycopg.Error) -> int | None:
    """Return the error's place in the step's text, from 0; None if it is in no text of the file."""
    position = error.diag.statement_position
    if not position or part.role is not Role.OWN:
        return None
    start = step.statements[part.number].start - step.statements[0].start
    return start + int(position) - 1 - len(name_sql(step))


def _refused(attempt: Attempt, reply: Reply) -> Outcome:
    """Return what the error in a reply means for the step."""
    error = reply.answer.error
    assert error is not None  # noqa: S101 - only called with one
    return meaning(attempt, reply.failed_part, error)


def _messages(parts: Iterable[Part]) -> Iterator[tuple[Part, ...]]:
    """Split before and after COPY data, which is sent separately, and where a message gets long.

    A message and all of its results stay in memory until the last result has arrived.
    """
    waiting: list[Part] = []
    room = _LONGEST_MESSAGE
    for part in parts:
        is_alone = part.data is not None
        if waiting and (is_alone or len(waiting) == _MOST_PARTS or room < len(part.text)):
            yield tuple(waiting)
            waiting, room = [], _LONGEST_MESSAGE
        waiting.append(part)
        room -= len(part.text)
        if is_alone:
            yield tuple(waiting)
            waiting, room = [], _LONGEST_MESSAGE
    if waiting:
        yield tuple(waiting)
