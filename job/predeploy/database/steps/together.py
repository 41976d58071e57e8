"""Sends the statements of a step together, or successive steps in one round trip.

Each of several steps has its own transaction, fence and row. The first that is not done has left
nothing behind and is then run alone: whatever the outcome requires, a retry or a closer look,
happens there.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain, takewhile

from predeploy.contract.plan import Failure
from predeploy.contract.step import Addition, Migration, SchemaChange, Step
from predeploy.database.catalog.shape import absent_sql
from predeploy.database.sentinel.sentinel import UNSUSPECTED
from predeploy.database.sentinel.sequences import SequencePositions
from predeploy.database.server import wire
from predeploy.database.server.pooler import Pooling
from predeploy.database.server.transaction import clean_up
from predeploy.database.session import operator_settings
from predeploy.database.steps import frame
from predeploy.database.steps.message import (
    Attempt,
    Closing,
    Part,
    Reply,
    Role,
    messages,
    ours,
    own_part,
    send,
    transmit,
)
from predeploy.database.steps.outcome import (
    AlreadyThere,
    Outcome,
    Sent,
    Suspects,
    Tried,
    learned,
    meaning,
    result_of,
)

_MOST_STEPS = 200
_MOST_CHARACTERS = 1 << 20


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
    for parts in messages(chain(opening, own(attempt), closing(()))):
        reply = send(attempt, parts)
        positions = positions or reply.positions
        notices += reply.answer.skipped
        if reply.answer.error is not None:
            return meaning(attempt, reply), positions
        rows += reply.rows
        suspected |= reply.suspected
    return Sent(rows, notices=notices, suspected=suspected), positions


def batch_of(attempts: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """Return the first steps that may be sent together: none, or at least two.

    Only steps that one message delivers, and that leave nothing in the session if they fail.
    """
    room = _MOST_CHARACTERS
    found: list[Attempt] = []
    for attempt in takewhile(_may_travel, attempts):
        room -= attempt.step.length
        if room < 0 or len(found) == _MOST_STEPS:
            break
        found.append(attempt)
    return tuple(found) if len(found) > 1 else ()


def run_together(
    attempts: Sequence[Attempt], works_on: Callable[[Step | None], None]
) -> Generator[Tried, None, None]:
    """Run the steps; yield the outcome of each that is done, as soon as it is known.

    For the one that is not done, the last item is what its first try has shown: the server's error
    or, with an outcome of None, how to deliver it. There is no such item if another runner was
    faster.

    Only the last step waits for the disk: the server writes commits in order, and a crash loses a
    step together with its row in the ledger.
    """
    if not attempts:
        return
    context = attempts[0].context
    last: Tried | None = None
    sent = [_parts(attempt, is_last=attempt is attempts[-1]) for attempt in attempts]
    current = attempts[0]

    def tick() -> None:
        current.monitor.tick()

    started = time.monotonic()
    works_on(current.step)
    with closing(transmit(context.work, sent, tick)) as replies:
        for number, current in enumerate(attempts, start=1):
            reply = next(replies)
            if reply.answer.error is not None:
                last = _failed(current, reply)
                break
            works_on(attempts[number].step if number < len(attempts) else None)
            came = Sent(reply.rows, notices=reply.answer.skipped)
            result = result_of(current.step, came, time.monotonic() - started)
            yield Tried(result, current.delivery)
            started = time.monotonic()
    # After an error the failed transaction is still open.
    wire.roll_back(context.work)
    if last is not None:
        yield last


def _failed(attempt: Attempt, reply: Reply) -> Tried | None:
    found = meaning(attempt, reply)
    match found:
        case Failure():
            return Tried(attempt.monitor.judge(found), attempt.delivery, reply.positions)
        case Suspects() | AlreadyThere():
            return Tried(None, learned(attempt, found), reply.positions)
    return None


def _parts(attempt: Attempt, *, is_last: bool) -> tuple[Part, ...]:
    durability = {} if is_last else {"synchronous_commit": "off"}
    return (
        *frame.opening(attempt, settings=durability),
        *frame.preamble(attempt),
        *own(attempt),
        *frame.closing(attempt),
    )


def _may_travel(attempt: Attempt) -> bool:
    step = attempt.step
    return (
        attempt.context.pooling is Pooling.NONE
        and attempt.delivery.is_plain
        and isinstance(step, Migration | SchemaChange)
        and all(s.data is None for s in step.statements)
        and not clean_up(step)
    )
