"""What the answers to a step's parts mean for the step: kept, run again in another way, failed."""

from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from predeploy import sql
from predeploy.contract.errors import InternalError
from predeploy.contract.grants import Ungranted
from predeploy.contract.plan import Ask, Drift, Failure, StepResult
from predeploy.contract.step import Addition, Step
from predeploy.database.sentinel import sentinel
from predeploy.database.sentinel.sentinel import UNSUSPECTED, Suspicion
from predeploy.database.sentinel.sequences import SequencePositions
from predeploy.database.server.failure import failure_of
from predeploy.database.server.transaction import name_sql
from predeploy.database.session.fence import STOPPED
from predeploy.database.steps.message import Attempt, Closing, Part, Reply, Role, send
from predeploy.judgment.gap import Gap
from predeploy.judgment.ways import Delivery
from predeploy.losses.loss import Loss

# The error of `absent_sql` if a name is taken.
_DIVISION_BY_ZERO = "22012"


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

Deliver = Callable[[Attempt, list[Part], Closing], Outcome]


@dataclass(frozen=True, slots=True)
class Tried:
    """The outcome of a step: a result, a failure that left nothing, or None: another run did it.

    `delivery` is how it should be tried again; `positions` holds the first positions of sequences.
    `gaps` are the sequences that skipped numbers, because a try that was rolled back drew them.
    """

    outcome: StepResult | Failure | None
    delivery: Delivery
    positions: SequencePositions | None = None
    gaps: tuple[Gap, ...] = ()


def begin(attempt: Attempt, opening: list[Part]) -> tuple[Outcome, SequencePositions | None]:
    """Send a step's opening separately; the outcome is None if its fence is not passed."""
    reply = send(attempt, opening)
    return (Sent() if reply.answer.error is None else meaning(attempt, reply)), reply.positions


def end(attempt: Attempt, closing: list[Part]) -> Outcome:
    """Send a step's closing separately."""
    reply = send(attempt, closing)
    if reply.answer.error is None:
        return Sent(suspected=reply.suspected)
    return meaning(attempt, reply)


def suspects(error: psycopg.Error) -> Suspects:
    """Return the tables that the guard's error names."""
    suspected = sentinel.parse_suspicion(error.diag.message_detail)
    return Suspects(suspected.oids, suspected.is_doubtful)


def meaning(attempt: Attempt, reply: Reply) -> Outcome:
    """Return what the error in a reply means for the step; None if another run was faster."""
    step, part, error = attempt.step, reply.failed_part, reply.answer.error
    assert error is not None  # noqa: S101 - only called with one
    sqlstate = error.sqlstate or ""
    match part.role:
        case Role.FENCE if sqlstate in STOPPED:
            return None
        case Role.QUESTION if sqlstate == _DIVISION_BY_ZERO:
            return AlreadyThere()
        case Role.CLOSING if sentinel.is_guard_error(attempt.schema, error):
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


def learned(attempt: Attempt, outcome: Suspects | AlreadyThere) -> Delivery:
    """Return how to deliver the step after a try that had to be rolled back."""
    delivery = attempt.delivery
    match outcome:
        case Suspects(oids, is_doubtful=True):
            again = delivery.counting(oids)
        case Suspects(oids):
            again = delivery.watching(oids)
        case AlreadyThere():
            again = delivery.in_pieces()
    if again == delivery:
        raise InternalError(f"{attempt.step.label}: a guard failed that was not sent")
    return again


def result_of(step: Step, sent: Sent, duration_s: float) -> StepResult:
    """Return the report's entry for a step that is done."""
    return StepResult(
        step.label,
        duration_s,
        len(step.statements),
        sent.rows,
        tuple(str(loss) for loss in sent.losses),
        sent.duplicates,
        sent.notices,
        sent.drifts,
        tuple(str(gap) for gap in sent.gaps),
        sent.ungranted,
        _asks(step, sent),
    )


def _asks(step: Step, sent: Sent) -> tuple[Ask, ...]:
    declarations = tuple(loss.declaration for loss in sent.asked)
    if not declarations:
        return ()
    return (Ask(step.path, step.statements[0].line, declarations, step.allow_key),)
