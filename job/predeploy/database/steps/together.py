"""Runs steps that follow each other in one round trip: each its own transaction, fence and row.

Up to the first that is not done, which has left nothing and is then run by itself: whatever may
come of a step is tried again or looked at closer there.
"""

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from itertools import takewhile

from predeploy.contract.plan import Failure, Mode, Step
from predeploy.database.server import wire
from predeploy.database.server.pooler import Pooling
from predeploy.database.server.stream import stream
from predeploy.database.server.transaction import clean_up
from predeploy.database.steps import frame, script
from predeploy.database.steps.message import (
    AlreadyThere,
    Attempt,
    Part,
    Reply,
    Sent,
    Suspects,
    meaning,
    own,
)
from predeploy.database.steps.script import Tried

_MOST_STEPS = 200
_MOST_CHARACTERS = 1 << 20


def convoy_of(attempts: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """Return the first steps that may travel together: none, or at least two.

    Only what one message delivers may, and leaves nothing in the session when it fails.
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
    """Run the steps; yield what came of each that is done, as soon as it is known.

    Of the one that is not done comes last what its first try has shown: what the server said, or,
    with an outcome of None, how to deliver it. There is none where another runner was faster.

    Only the last waits for the disk: the server writes commits in their order, and a crash takes
    a step and its row in the ledger together.
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
    with closing(
        stream(context.work, [[(p.text, ()) for p in ps] for ps in sent], tick)
    ) as answers:
        for number, (current, parts) in enumerate(zip(attempts, sent, strict=True), start=1):
            reply = Reply(parts, next(answers))
            if reply.answer.error is not None:
                last = _failed(current, reply)
                break
            works_on(attempts[number].step if number < len(attempts) else None)
            came = Sent(reply.rows, notices=reply.answer.skipped)
            result = script.result_of(current.step, came, time.monotonic() - started)
            yield Tried(result, current.delivery)
            started = time.monotonic()
    wire.roll_back(context.work)
    if last is not None:
        yield last


def _failed(attempt: Attempt, reply: Reply) -> Tried | None:
    assert reply.answer.error is not None  # noqa: S101 - only called with one
    found = meaning(attempt, reply.failed_part, reply.answer.error, None)
    match found:
        case Failure():
            return Tried(attempt.monitor.judge(found), attempt.delivery, reply.standing)
        case Suspects() | AlreadyThere():
            return Tried(None, script.learned(attempt, found), reply.standing)
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
        and step.mode is Mode.TRANSACTION
        and not step.binds
        and all(s.data is None for s in step.statements)
        and not clean_up(step)
    )
