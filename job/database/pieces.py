"""Runs a step in pieces: what is there already is skipped where that is proved, and only there.

Each statement goes by itself, in the step's one transaction, and an ALTER TABLE that only adds is
taken apart. A savepoint stands before those that may find their object there; proof comes from the
catalog. Anything that is neither proved nor a clash of shapes fails as it would have anyway.
"""

from dataclasses import dataclass, field, replace

from job import statements
from job.database import wire
from job.database.delivery import Closing, Context, Outcome, Sent, begin, end
from job.database.failure import failure_of, is_lock_failure
from job.database.shape import Unproved, compare, has_left, is_taken
from job.database.transaction import rows_written
from job.database.wire import Answer
from job.plan import Drift, Failure, Statement
from job.statements import Creation, Departure, Piece
from job.verdict import judge_drifts

_SAVEPOINT = "predeploy_piece"


def in_pieces(context: Context, opening: list[str], closing: Closing) -> Outcome:
    """Send opening, statements and closing one after the other."""
    begun = begin(context, opening) if opening else Sent()
    if not isinstance(begun, Sent):
        return begun
    run = _Run(context)
    for index, statement in enumerate(context.step.statements):
        for piece in statements.pieces(statement, context.schema):
            failure = run.piece(index, statement, piece)
            if failure is not None:
                return failure
    ended = end(context, closing(tuple(run.drifts)))
    return run.sent if isinstance(ended, Sent) else ended


@dataclass(slots=True)
class _Run:
    """Runs the pieces, and keeps what came of them so far."""

    context: Context
    rows: int = 0
    duplicates: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    drifts: list[Drift] = field(default_factory=list)

    @property
    def sent(self) -> Sent:
        return Sent(self.rows, (), tuple(self.duplicates), tuple(self.notices), tuple(self.drifts))

    def piece(self, index: int, statement: Statement, piece: Piece) -> Failure | None:
        match piece.about:
            case Creation() as creation if creation.address.is_guarded:
                return self._guarded(index, statement, piece, creation)
            case Creation() | Departure() as about:
                return self._tolerantly(index, statement, piece, about)
        return self._failure(index, statement, piece, self._send(statement, piece.text))

    def _guarded(
        self, index: int, statement: Statement, piece: Piece, creation: Creation
    ) -> Failure | None:
        """Let IF NOT EXISTS skip what is there, and look whether it is what the file declares."""
        conn = self.context.place.work
        was_there = is_taken(conn, creation.address)
        answer = self._send(statement, piece.text)
        if answer.error is not None or not was_there:
            return self._failure(index, statement, piece, answer)
        found = compare(conn, creation, self.context.schema)
        if isinstance(found, Unproved):
            return self._unproved(index, found)
        return self._judge(statement, found)

    def _tolerantly(
        self, index: int, statement: Statement, piece: Piece, about: Creation | Departure
    ) -> Failure | None:
        """Skip the piece where it is proved that what it does is done."""
        conn = self.context.place.work
        prefix = f"savepoint {_SAVEPOINT};\n"
        answer = self._send(statement, f"{prefix}{piece.text}\n;\nrelease {_SAVEPOINT}")
        if answer.error is None:
            return None
        original = self._failure(index, statement, piece, answer, len(prefix))
        if answer.error.sqlstate not in about.tolerated:
            return original
        wire.ask(conn, f"rollback to savepoint {_SAVEPOINT}; release savepoint {_SAVEPOINT}")
        where = f"{self.context.step.path}:{statement.line}"
        if isinstance(about, Departure):
            if not has_left(conn, about):
                return original
            self.duplicates.append(f"{where}: column {about.column} of {about.home} is gone")
            return None
        found = compare(conn, about, self.context.schema)
        if isinstance(found, Unproved):
            return self._unproved(index, found) or original
        if not found:
            what = f"{about.address.kind.value} {about.address.name}"
            self.duplicates.append(f"{where}: {what} is there, as declared")
        return self._judge(statement, found)

    def _judge(self, statement: Statement, found: tuple[Drift, ...]) -> Failure | None:
        is_adopted = self.context.step.is_replay
        self.drifts += (replace(drift, is_adopted=is_adopted) for drift in found)
        return judge_drifts(self.context.step, statement, found, self.context.place.settings)

    def _unproved(self, index: int, why: Unproved) -> Failure | None:
        """Return what a proof failed of, where another try may do better: locks."""
        if why.error is None:
            return None
        step, failed = self.context.step, self.context.failed
        failure = failure_of(step, why.error, index=index, offset=None, failed=failed)
        return failure if is_lock_failure(failure) else None

    def _send(self, statement: Statement, text: str) -> Answer:
        conn, watch = self.context.place.work, self.context.watch
        if statement.data is not None:
            answer = wire.send_copy(conn, text, statement.data)
        else:
            answer = wire.send(conn, text, on_tick=watch.tick)
        self.notices += answer.skipped
        if answer.error is None:
            self.rows += rows_written(answer, 0, len(answer.results))
        return answer

    def _failure(
        self, index: int, statement: Statement, piece: Piece, answer: Answer, shift: int = 0
    ) -> Failure | None:
        if answer.error is None:
            return None
        step = self.context.step
        position = answer.error.diag.statement_position
        offset = None
        if position and piece.offset is not None:
            start = statement.start - step.statements[0].start
            offset = start + piece.offset + int(position) - 1 - shift
        return failure_of(
            step, answer.error, index=index, offset=offset, failed=self.context.failed
        )
