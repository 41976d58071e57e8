"""The messages that make up a step: their parts, and the meaning of the answers.

`at_once` sends a step's statements in one message; `piecewise` is the alternative for a step whose
objects exist already.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import accumulate, chain

import psycopg

from predeploy import sql
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.grants import Ungranted
from predeploy.contract.plan import Drift, Failure, Step
from predeploy.database.catalog.shape import absent_sql
from predeploy.database.sentinel import sentinel
from predeploy.database.sentinel.sentinel import UNSUSPECTED, Suspicion
from predeploy.database.sentinel.sequences import Standing, parse_standing
from predeploy.database.server import wire
from predeploy.database.server.failure import failure_of
from predeploy.database.server.transaction import rows_written
from predeploy.database.server.wire import Answer
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
_SEPARATOR = "\n;\n"  # a statement may end with a comment


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
"""None: another run was faster, so look again."""


class Role(Enum):
    """The purpose of a message's part, which decides what its failure or its row means."""

    OURS = auto()
    FENCE = auto()
    STANDING = auto()  # returns the positions of sequences
    QUESTION = auto()  # whether an object exists that the next part creates IF NOT EXISTS
    OWN = auto()  # one of the step's statements
    CLOSING = auto()
    SUSPECTS = auto()  # like CLOSING, and returns what may have lost something


@dataclass(frozen=True, slots=True)
class Part:
    """One statement of a message; `number` counts the step's own statements from 0."""

    text: str
    role: Role = Role.OURS
    number: int = 0
    data: str | None = None


Closing = Callable[[tuple[Drift, ...]], list[Part]]
"""What ends a step, given what is there in another shape."""

Deliver = Callable[[Attempt, list[Part], Closing], Outcome]


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one message, by its parts."""

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
    def standing(self) -> Standing | None:
        """The positions of sequences; None if not queried, or if the query was not reached."""
        return parse_standing(self._told(Role.STANDING))

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
    may have created the object, or changed the search_path.
    """
    for number, statement in enumerate(attempt.step.statements):
        guarded = [address for address in statement.creates if address.is_guarded]
        if guarded:
            yield Part(absent_sql(guarded), Role.QUESTION, number)
        text = operator_settings.text_of(attempt.context, statement.text)
        yield Part(text, Role.OWN, number, statement.data)
        yield from ours(operator_settings.behind(attempt.context, statement))


def at_once(attempt: Attempt, opening: list[Part], closing: Closing) -> Outcome:
    """Send opening, statements and closing in one message, or in more if COPY brings data."""
    outcome, _ = at_once_from_the_start(attempt, opening, closing)
    return outcome


def at_once_from_the_start(
    attempt: Attempt, opening: list[Part], closing: Closing
) -> tuple[Outcome, Standing | None]:
    """Like `at_once`, and also return the positions of sequences that the opening queries."""
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
    """Send a step's opening separately; the outcome is None if its fence is not passed."""
    reply = send(attempt, opening)
    return (Sent() if reply.answer.error is None else _refused(attempt, reply)), reply.standing


def end(attempt: Attempt, closing: list[Part]) -> Outcome:
    """Send a step's closing separately."""
    reply = send(attempt, closing)
    if reply.answer.error is None:
        return Sent(suspected=reply.suspected)
    return meaning(attempt, reply.failed_part, reply.answer.error, None)


def send(attempt: Attempt, parts: Sequence[Part]) -> Reply:
    """Send parts as one message; a part with data must be alone in it."""
    work, tick = attempt.context.work, attempt.monitor.tick
    text = _SEPARATOR.join(part.text for part in parts)
    if (data := parts[0].data) is not None:
        return Reply(parts, wire.send_copy(work, text, data, on_tick=tick))
    return Reply(parts, wire.send(work, text, on_tick=tick))


def suspects(error: psycopg.Error) -> Suspects:
    """Return the tables that the guard's error names."""
    suspected = sentinel.parse_suspicion(error.diag.message_detail)
    return Suspects(suspected.oids, suspected.is_doubtful)


def meaning(attempt: Attempt, part: Part, error: psycopg.Error, offset: int | None) -> Outcome:
    """Return what the failure of one part means for its step; `offset` is within its text."""
    step, sqlstate = attempt.step, error.sqlstate or ""
    match part.role:
        case Role.FENCE if sqlstate in STOPPED:
            return None
        case Role.QUESTION if sqlstate == _DIVISION_BY_ZERO:
            return AlreadyThere()
        case Role.CLOSING if sentinel.has_spoken(attempt.schema, error):
            return suspects(error)
        case Role.OWN if sql.tolerates(step.statements[part.number], sqlstate):
            return AlreadyThere()
    is_behind = part.role in (Role.CLOSING, Role.SUSPECTS)
    number = len(step.statements) if is_behind else part.number
    if part.role is Role.OWN and offset is not None:
        offset += step.statements[number].start - step.statements[0].start
    else:
        offset = None
    return failure_of(step, error, index=number, offset=offset, failed=attempt.failed)


def _refused(attempt: Attempt, reply: Reply) -> Outcome:
    """Return what a message's error means for the step. A position counts the whole message."""
    error = reply.answer.error
    assert error is not None  # noqa: S101 - only called with one
    part, offset = reply.failed_part, None
    if position := error.diag.statement_position:
        lengths = (len(p.text) + len(_SEPARATOR) for p in reply.parts)
        starts = list(accumulate(lengths, initial=0))
        index = max(i for i in range(len(reply.parts)) if starts[i] < int(position))
        part, offset = reply.parts[index], int(position) - 1 - starts[index]
    return meaning(attempt, part, error, offset)


def _messages(parts: Iterable[Part]) -> Iterator[tuple[Part, ...]]:
    """Split long messages; COPY data needs a message of its own.

    The results of a message are kept until its end, and the server parses all of it first.
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
