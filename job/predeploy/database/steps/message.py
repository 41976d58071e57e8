"""What is sent of a step, and what is answered.

A step is sent as parts: one statement each, with the values of its parameters and with the role
that says what its failure or its row means. `transmit` sends the parts of one transaction or of
several in one round trip. Only COPY data is sent separately.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import Enum, auto

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Drift
from predeploy.contract.secret import Secret
from predeploy.contract.step import Step
from predeploy.database.sentinel import sentinel
from predeploy.database.sentinel.sentinel import Suspicion
from predeploy.database.sentinel.sequences import SequencePositions, parse_positions
from predeploy.database.server import wire
from predeploy.database.server.rows import Answer
from predeploy.database.server.stream import Query, stream
from predeploy.database.server.transaction import name_sql, rows_written
from predeploy.database.server.wire import Connection
from predeploy.database.session.lock_monitor import LockMonitor
from predeploy.database.session.run_context import RunContext
from predeploy.judgment.ways import PLAIN, Delivery

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
            rows_written(self.answer, index)
            for index, part in enumerate(self.parts)
            if part.role is Role.OWN
        )

    @property
    def positions(self) -> SequencePositions | None:
        """The positions of sequences; None if not queried, or if the query was not reached."""
        return parse_positions(self._value(Role.POSITIONS))

    @property
    def suspected(self) -> Suspicion:
        """What may have lost something, as far as it was queried."""
        return sentinel.parse_suspicion(self._value(Role.SUSPECTS))

    def _value(self, role: Role) -> str | None:
        done = self.answer.results[: -1 if self.answer.error else None]
        for index, part in enumerate(self.parts[: len(done)]):
            if part.role is role:
                return self.answer.rows(index)[0][0]
        return None


def ours(texts: Iterable[str]) -> list[Part]:
    """Return generated statements as parts."""
    return [Part(text) for text in texts]


def own_part(step: Step, number: int, text: str, values: tuple[str | Secret, ...] = ()) -> Part:
    """Return one of the step's statements as a part, preceded by the step's name."""
    data = step.statements[number].data
    return Part(f"{name_sql(step)}{text}", Role.OWN, number, data, values)


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


def messages(parts: Iterable[Part]) -> Iterator[tuple[Part, ...]]:
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
