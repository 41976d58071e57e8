"""What is sent of a step, and what the answers mean.

A step is sent as parts: one statement each, with the values of its parameters and with the role
that says what its failure or its row means. `transmit` sends the parts of one transaction or of
several in one round trip. Only COPY data goes by itself.
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
from predeploy.database.sentinel.sequences import Standing, parse_standing
from predeploy.database.server import wire
from predeploy.database.server.failure import failure_of
from predeploy.database.server.stream import Query, stream
from predeploy.database.server.transaction import rows_written
from predeploy.database.server.wire import Answer, Connection
from predeploy.database.session import operator_settings
from predeploy.database.session.fence import STOPPED
from predeploy.database.session.lock_monitor import LockMonitor
from predeploy.database.session.run_context import RunContext
from predeploy.judgment.delivery import PLAIN, Delivery
from predeploy.judgment.gap import Gap
from predeploy.losses.loss import Loss

_DIVISION_BY_ZERO = "22012"
_MOST_PARTS = 1_000  # of a message
_LONGEST_MESSAGE = 1 << 18  # characters, unless a single statement is longer


@dataclass(frozen=True, slots=True)
class Attempt:
    """A step, where and how it runs, how it ends when a statement fails, and who watches.

    `steps` are all of its plan, in order. From before the first of them are `newest`, the largest
    OID of a relation, and `path`, the schemas of the session's search_path.
    """

    context: RunContext
    step: Step
    failed: ExitCode
    monitor: LockMonitor
    delivery: Delivery = PLAIN
    steps: Sequence[Step] = ()
    newest: int = 1 << 32
    path: tuple[str, ...] = ()

    @property
    def schema(self) -> str:
        """The ledger's schema."""
        return self.context.settings.ledger_schema


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of a step's statements.

    The rows that they wrote, what the step took away or renamed, what was there already, what
    PostgreSQL said it skips, what is there in another shape, what was gone before the step dropped
    it, what may have lost something where the sentinel was asked for that, the sequences that
    skipped numbers because of an earlier try, whose grants are gone, and the losses that nobody was
    asked about, because we had made what was lost.
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
    """Something may be lost, and the tables from which.

    `is_doubtful`: only counting their rows before and after can tell.
    """

    oids: frozenset[int]
    is_doubtful: bool = False


@dataclass(frozen=True, slots=True)
class AlreadyThere:
    """Something that the step creates is there: it has to be run piecewise."""


Outcome = Sent | Suspects | AlreadyThere | Failure | None
"""None: another run was faster, so look again."""


class Role(Enum):
    """What a part of a message is for, and so what its failure or its row means."""

    OURS = auto()
    FENCE = auto()
    STANDING = auto()  # returns where sequences stand
    QUESTION = auto()  # whether what the next part creates only if it is not there, is there
    OWN = auto()  # a statement of the step's
    CLOSING = auto()
    SUSPECTS = auto()  # closes, too, and returns what may have lost something


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
"""What ends a step, given what is there in another shape."""

Deliver = Callable[[Attempt, list[Part], Closing], Outcome]


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for parts that were sent together."""

    parts: Sequence[Part]
    answer: Answer

    @property
    def failed_part(self) -> Part:
        """The part that has failed."""
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
    def standing(self) -> Standing | None:
        """Where sequences stood; None where that was not asked, or not reached."""
        return parse_standing(self._told(Role.STANDING))

    @property
    def suspected(self) -> Suspicion:
        """What may have lost something, as far as that was asked."""
        return sentinel.parse_suspicion(self._told(Role.SUSPECTS))

    def _told(self, role: Role) -> str | None:
        done = self.answer.results[: -1 if self.answer.error else None]
        for index, part in enumerate(self.parts[: len(done)]):
            if part.role is role:
                return self.answer.rows(index)[0][0]
        return None


def ours(texts: Iterable[str]) -> list[Part]:
    """Return statements of ours as parts."""
    return [Part(text) for text in texts]


def own(attempt: Attempt) -> Iterator[Part]:
    """Yield the step's own statements as parts.

    Before each with IF NOT EXISTS stands the question whether it would skip anything: the file
    itself may have made it by then, or moved the search_path. What a seed or a fallback skips is
    what it is for.
    """
    step = attempt.step
    if isinstance(step, Addition):
        pairs = zip(step.statements, step.binds, strict=True)
        for number, (statement, values) in enumerate(pairs):
            yield Part(statement.text, Role.OWN, number, values=values)
        return
    for number, statement in enumerate(step.statements):
        guarded = [address for address in statement.creates if address.is_guarded]
        if guarded:
            yield Part(absent_sql(guarded), Role.QUESTION, number)
        text = operator_settings.text_of(attempt.context, statement.text)
        yield Part(text, Role.OWN, number, statement.data)
        yield from ours(operator_settings.behind(attempt.context, statement))


def at_once(attempt: Attempt, opening: list[Part], closing: Closing) -> Outcome:
    """Send opening, statements and closing in one round trip.

    More are needed only where COPY brings data, and for long steps.
    """
    outcome, _ = at_once_from_the_start(attempt, opening, closing)
    return outcome


def at_once_from_the_start(
    attempt: Attempt, opening: list[Part], closing: Closing
) -> tuple[Outcome, Standing | None]:
    """Do the same, and return where sequences stood, which the opening has asked."""
    rows = 0
    notices: tuple[str, ...] = ()
    suspected = UNSUSPECTED
    standing: Standing | None = None
    for parts in _messages(chain(opening, own(attempt), closing(()))):
        reply = send(attempt, parts)
        standing = standing or reply.standing
        notices += reply.answer.skipped
        if reply.answer.error is not None:
            return _refused(attempt, reply), standing
        rows += reply.rows
        suspected |= reply.suspected
    return Sent(rows, notices=notices, suspected=suspected), standing


def begin(attempt: Attempt, opening: list[Part]) -> tuple[Outcome, Standing | None]:
    """Send a step's opening by itself; None when its fence does not let it pass."""
    reply = send(attempt, opening)
    return (Sent() if reply.answer.error is None else _refused(attempt, reply)), reply.standing


def end(attempt: Attempt, closing: list[Part]) -> Outcome:
    """Send a step's closing by itself."""
    reply = send(attempt, closing)
    if reply.answer.error is None:
        return Sent(suspected=reply.suspected)
    return meaning(attempt, reply.failed_part, reply.answer.error)


def send(attempt: Attempt, parts: Sequence[Part]) -> Reply:
    """Send parts of one transaction; one with data has to stand alone."""
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

    As `stream` does, which says what state the connection is in then.
    """
    sent = [[part.query for part in parts] for parts in transactions]
    with closing(stream(conn, sent, tick)) as answers:
        for parts, answer in zip(transactions, answers, strict=False):
            yield Reply(parts, answer)


def suspects(error: psycopg.Error) -> Suspects:
    """Return what the guard has raised."""
    suspected = sentinel.parse_suspicion(error.diag.message_detail)
    return Suspects(suspected.oids, suspected.is_doubtful)


def meaning(attempt: Attempt, part: Part, error: psycopg.Error) -> Outcome:
    """Say what the failure of one part means for its step."""
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
    return start + int(position) - 1


def _refused(attempt: Attempt, reply: Reply) -> Outcome:
    """Say what the error in a reply means for the step."""
    error = reply.answer.error
    assert error is not None  # noqa: S101 - only called with one
    return meaning(attempt, reply.failed_part, error)


def _messages(parts: Iterable[Part]) -> Iterator[tuple[Part, ...]]:
    """Cut where COPY brings data, which goes by itself, and what is long.

    What is sent together, and its results, are kept in memory until the last of them is there.
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
