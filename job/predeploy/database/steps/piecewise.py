"""Runs a step statement by statement; skips only what is proved to exist already.

Each statement is sent separately, in the step's one transaction. A savepoint precedes those that
may find their object existing; the proof comes from the catalog. An ALTER TABLE that only adds is
run without what exists already. Whatever is neither proved nor in another shape fails as it would
have without this.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from predeploy import sql
from predeploy.contract.plan import Drift, Failure
from predeploy.contract.statement import Creatable, Statement
from predeploy.database.catalog.shape import Unproved, compare, is_taken, left_from
from predeploy.database.server import wire
from predeploy.database.server.failure import failure_of, may_pass_again, was_cancelled
from predeploy.database.session import operator_settings
from predeploy.database.steps.message import Attempt, Closing, Part, Reply, ours, own_part, send
from predeploy.database.steps.outcome import Outcome, Sent, begin, end, offset_in
from predeploy.judgment.verdict import judge_drifts
from predeploy.losses.loss import Loss, Verb
from predeploy.sql import ColumnRemoval, Creation

_SAVEPOINT = "predeploy_statement"
_PROVED = {
    Creatable.TABLE: "is there with the declared columns, and nothing else of it was compared",
    Creatable.COLUMN: "is there with the declared type, and nothing else of it was compared",
}


def piecewise(attempt: Attempt, opening: list[Part], closing: Closing) -> Outcome:
    """Send opening, statements and closing one after the other."""
    begun, _ = begin(attempt, opening) if opening else (Sent(), None)
    if not isinstance(begun, Sent):
        return begun
    run = _Run(attempt)
    for index, statement in enumerate(attempt.step.statements):
        failure = run.statement(index, statement)
        if failure is not None:
            return failure
    ended = end(attempt, closing(tuple(run.drifts)))
    return replace(run.sent, suspected=ended.suspected) if isinstance(ended, Sent) else ended


@dataclass(slots=True)
class _Run:
    """Runs the statements, and collects their results."""

    attempt: Attempt
    rows: int = 0
    duplicates: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    drifts: dict[Drift, None] = field(default_factory=dict)  # an ordered set
    gone: list[Loss] = field(default_factory=list)

    @property
    def sent(self) -> Sent:
        return Sent(
            self.rows,
            (),
            tuple(self.duplicates),
            tuple(self.notices),
            tuple(self.drifts),
            tuple(self.gone),
        )

    def statement(self, index: int, statement: Statement) -> Failure | None:
        match sql.abouts(statement, self.attempt.schema):
            case (Creation() as creation,) if creation.address.is_guarded:
                return self._guarded(index, statement, creation)
            case (Creation() | ColumnRemoval() as about,):
                return self._tolerantly(index, statement, about)
            case (None,):
                context = self.attempt.context
                behind = operator_settings.behind(context, statement)
                own = operator_settings.text_of(context, statement.text)
                return self._failure(index, self._send(index, own, after=behind))
            case several:
                return self._rest(index, statement, several)

    def _guarded(self, index: int, statement: Statement, creation: Creation) -> Failure | None:
        """Let IF NOT EXISTS skip an existing object; compare that with what the file declares."""
        conn = self.attempt.context.work
        was_there = is_taken(conn, creation.address)
        reply = self._send(index, statement.text)
        if reply.answer.error is not None or not was_there:
            return self._failure(index, reply)
        found = self._compare(creation)
        if isinstance(found, Unproved):
            if found.error is not None:
                why = found.error.diag.message_primary
                self.notices.append(f"{creation.address.name} could not be compared: {why}")
            return self._unproved(index, found)
        return self._judge(statement, found)

    def _tolerantly(
        self, index: int, statement: Statement, about: Creation | ColumnRemoval
    ) -> Failure | None:
        """Skip the statement if its effect is proved to exist already."""
        conn = self.attempt.context.work
        before, after = [f"savepoint {_SAVEPOINT}"], [f"release savepoint {_SAVEPOINT}"]
        reply = self._send(index, statement.text, before, after)
        error = reply.answer.error
        if error is None:
            return None
        original = self._failure(index, reply)
        if error.sqlstate not in about.tolerated:
            return original
        wire.ask(conn, f"rollback to savepoint {_SAVEPOINT}; release savepoint {_SAVEPOINT}")
        if isinstance(about, ColumnRemoval):
            table = left_from(conn, about)
            if table is None:
                return original
            verb = Verb.RENAME if about.successor else Verb.DROP_COLUMN
            self.gone.append(Loss(verb, f"{table}.{about.column}"))
            self._skipped(statement, f"column {about.column} of {about.home} is gone")
            return None
        found = self._compare(about)
        if isinstance(found, Unproved):
            return self._unproved(index, found) or original
        return self._judge(statement, found, about)

    def _rest(
        self, index: int, statement: Statement, parts: tuple[Creation | ColumnRemoval | None, ...]
    ) -> Failure | None:
        """Run an ALTER TABLE that only adds, without what exists already.

        The rest stays one statement: PostgreSQL adds columns before it looks at constraints.
        """
        conn = self.attempt.context.work
        done = set()
        for number, part in enumerate(parts):
            if not isinstance(part, Creation) or not is_taken(conn, part.address):
                continue
            found = self._compare(part)
            if isinstance(found, Unproved):
                failure = self._unproved(index, found)
            else:
                failure = self._judge(statement, found, part)
                # With IF NOT EXISTS the command skips itself, and stays in the statement.
                if not part.address.is_guarded:
                    done.add(number)
            if failure is not None:
                return failure
        if len(done) == len(parts):
            return None
        if not done:
            return self._failure(index, self._send(index, statement.text))
        rest = sql.without(statement, done)
        return self._failure(index, self._send(index, rest), is_verbatim=False)

    def _compare(self, creation: Creation) -> tuple[Drift, ...] | Unproved:
        attempt = self.attempt
        return compare(attempt.context.work, creation, attempt.schema, attempt.monitor.tick)

    def _judge(
        self, statement: Statement, found: tuple[Drift, ...], skipped: Creation | None = None
    ) -> Failure | None:
        """Record the drifts; if there are none, record that the creation was skipped as equal."""
        if skipped and not found and not skipped.address.is_guarded:
            address = skipped.address
            what = _PROVED.get(address.kind, "is there, as declared")
            self._skipped(statement, f"{address.kind.value} {address.name} {what}")
        is_adopted = self.attempt.step.is_replay
        self.drifts |= dict.fromkeys(replace(drift, is_adopted=is_adopted) for drift in found)
        return judge_drifts(self.attempt.step, statement, found, self.attempt.context.settings)

    def _skipped(self, statement: Statement, why: str) -> None:
        self.duplicates.append(f"{self.attempt.step.path}:{statement.line}: {why}")

    def _unproved(self, index: int, why: Unproved) -> Failure | None:
        """Return the failure of a proof if another try may succeed: locks, time."""
        if why.error is None:
            return None
        step, failed = self.attempt.step, self.attempt.failed
        failure = failure_of(step, why.error, index=index, offset=None, failed=failed)
        return failure if may_pass_again(failure) or was_cancelled(failure) else None

    def _send(
        self, index: int, text: str, before: Sequence[str] = (), after: Sequence[str] = ()
    ) -> Reply:
        own = own_part(self.attempt.step, index, text)
        reply = send(self.attempt, [*ours(before), own, *ours(after)])
        self.notices += reply.answer.skipped
        if reply.answer.error is None:
            self.rows += reply.rows
        return reply

    def _failure(self, index: int, reply: Reply, *, is_verbatim: bool = True) -> Failure | None:
        """Return the error of a reply; its position is one in the file if the text was verbatim."""
        error = reply.answer.error
        if error is None:
            return None
        step = self.attempt.step
        offset = offset_in(step, reply.failed_part, error) if is_verbatim else None
        return failure_of(step, error, index=index, offset=offset, failed=self.attempt.failed)
