"""Runs a step of a migration, and again if its first try had to be rolled back.

How it is delivered was decided before (`judgment.delivery`): usually in one message, with the
sentinel's guard in it; between two full looks if it removes something; piecewise if an object that
it creates exists already. A try fails on what could not be foreseen: the guard suspects the effect
of a function, or a function created an object that a later statement creates. Then the step is
rolled back and delivered in the required way, after the sequences that it has drawn from are reset.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile

import psycopg
import structlog

from predeploy.contract.errors import ServerError
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Failure
from predeploy.database.sentinel.sequences import SequencePositions
from predeploy.database.server import wire
from predeploy.database.server.failure import failure_of
from predeploy.database.server.transaction import clean_up
from predeploy.database.steps import frame
from predeploy.database.steps.frame import closing, opening, positions_query, preamble
from predeploy.database.steps.message import Attempt, Part, Role
from predeploy.database.steps.outcome import (
    AlreadyThere,
    Deliver,
    Outcome,
    Sent,
    Suspects,
    Tried,
    begin,
    learned,
    result_of,
)
from predeploy.database.steps.piecewise import piecewise
from predeploy.database.steps.restart import Made, put_back
from predeploy.database.steps.together import at_once, at_once_from_the_start
from predeploy.database.steps.watched import replay, watch
from predeploy.judgment.gap import Gap

log = structlog.get_logger()


Try = Callable[[Attempt, SequencePositions | None], tuple[Outcome, SequencePositions | None]]
"""One try: takes the sequences' positions before the first try, returns those at its own start."""


def run_script(attempt: Attempt, positions: SequencePositions | None = None) -> Tried:
    """Run the step; `positions` holds the positions of sequences before its earlier tries."""
    return until_kept(attempt, positions, _try)


def until_kept(attempt: Attempt, positions: SequencePositions | None, go: Try) -> Tried:
    """Try until the step is kept or fails, with the delivery that the last try requires."""
    started = time.monotonic()
    while True:
        outcome, now = go(attempt, positions)
        positions = positions or now
        if isinstance(outcome, Sent):
            result = result_of(attempt.step, outcome, time.monotonic() - started)
            return Tried(result, attempt.delivery, positions, outcome.gaps)
        _roll_back(attempt)
        if not isinstance(outcome, Suspects | AlreadyThere):
            if isinstance(outcome, Failure) and outcome.exit_code is ExitCode.REFUSED:
                _take_back_numbers(attempt, positions)
            return Tried(outcome, attempt.delivery, positions)
        attempt = replace(attempt, delivery=learned(attempt, outcome))


def _try(
    attempt: Attempt, first: SequencePositions | None
) -> tuple[Outcome, SequencePositions | None]:
    """Try once; predeploy's own queries in between may fail as the step's statements do."""
    try:
        if attempt.delivery.is_plain and first is None:
            parts = [*opening(attempt), *preamble(attempt)]
            return at_once_from_the_start(attempt, parts, lambda drifts: closing(attempt, drifts))
        return _try_in_parts(attempt, first)
    except ServerError as error:
        if not isinstance(error.__cause__, psycopg.Error):
            raise
        failed = attempt.failed
        failure = failure_of(attempt.step, error.__cause__, index=0, offset=None, failed=failed)
        return failure, None


def _try_in_parts(
    attempt: Attempt, first: SequencePositions | None
) -> tuple[Outcome, SequencePositions | None]:
    """Open the transaction and reset sequences before the step's own statements."""
    begun, now, gaps = begin_again(attempt, first)
    if not isinstance(begun, Sent):
        return begun, now
    deliver: Deliver = piecewise if attempt.delivery.is_piecewise else at_once
    if attempt.step.is_replay:
        outcome = replay(attempt, deliver, gaps)
    elif attempt.delivery.is_watched:
        outcome = watch(attempt, deliver, gaps)
    else:
        own = preamble(attempt)
        outcome = deliver(attempt, own, lambda drifts: closing(attempt, drifts, gaps))
    return (replace(outcome, gaps=gaps) if isinstance(outcome, Sent) else outcome), now


def begin_again(
    attempt: Attempt, first: SequencePositions | None
) -> tuple[Outcome, SequencePositions | None, tuple[Gap, ...]]:
    """Open the step's transaction separately, and put back what earlier tries have drawn.

    Return the outcome, the positions of sequences, and the gaps that remain. A replayed step, which
    may only add, is REPEATABLE READ: concurrent changes by others are not its doing.
    """
    isolation = "isolation level repeatable read" if attempt.step.is_replay else ""
    parts = opening(attempt, isolation=isolation, is_again=first is not None)
    begun, now = begin(attempt, parts)
    gaps = _put_back(attempt, first, now) if isinstance(begun, Sent) else ()
    return begun, now, gaps


def _take_back_numbers(attempt: Attempt, first: SequencePositions | None) -> None:
    """Put back the numbers drawn by a refused step, whose file will run again once declared.

    If that is not possible now, the numbers are skipped, as with any failed step.
    """
    if first is None:
        return
    settings = frame.step_settings(attempt.context, attempt.step)
    question = Part(positions_query(attempt, is_again=True), Role.POSITIONS)
    try:
        begun, now = begin(attempt, [Part("begin"), Part(settings), question])
        if isinstance(begun, Sent):
            _put_back(attempt, first, now)
            wire.ask(attempt.context.work, "commit")
    except ServerError as error:
        log.info("sequences could not be reset, so they skip numbers", why=str(error))
    wire.roll_back(attempt.context.work)


def _put_back(
    attempt: Attempt, first: SequencePositions | None, now: SequencePositions | None
) -> tuple[Gap, ...]:
    if first is None or now is None:
        return ()
    earlier = takewhile(lambda step: step is not attempt.step, attempt.steps)
    names = (a.relation for step in earlier for s in step.statements for a in s.creates)
    made = Made(attempt.newest, frozenset(names))
    return put_back(attempt.context, positions_query(attempt), first, now, made)


def _roll_back(attempt: Attempt) -> None:
    """Roll back the step, and clean up what outlives a rollback in its session.

    In one message: behind a pooler the session then goes to another client.
    """
    left = clean_up(attempt.step)
    if left:
        wire.ask(attempt.context.work, "; ".join(["rollback", *left]))
    wire.roll_back(attempt.context.work)
