"""Runs steps that follow each other in one round trip: each its own transaction, fence and row.

Up to the first that is not done, which has left nothing and is then run by itself: whatever may
come of a step is tried again or looked at closer there.
"""

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from itertools import takewhile

from job import statements
from job.database import script, wire
from job.database.blockers import Watch
from job.database.delivery import Context, Piece, Sent, meaning, pieces_of, rows_of
from job.database.place import Workplace
from job.database.pooler import Pooling
from job.database.stream import stream
from job.database.wire import Answer
from job.exit_codes import ExitCode
from job.plan import Failure, Mode, Step, StepResult

_MOST_STEPS = 200
_MOST_CHARACTERS = 1 << 20


def convoy_of(place: Workplace, steps: Iterable[Step]) -> tuple[Step, ...]:
    """Return the first steps that may travel together: none, or at least two.

    A step that may be suspected of a loss goes alone, since it would be run once more for that.
    """
    if place.pooling is not Pooling.NONE:
        return ()
    room = _MOST_CHARACTERS
    found: list[Step] = []
    for step in takewhile(_may_travel, steps):
        room -= len(step.text)
        if room < 0 or len(found) == _MOST_STEPS:
            break
        found.append(step)
    return tuple(found) if len(found) > 1 else ()


def run_together(
    place: Workplace,
    steps: Sequence[Step],
    failed: ExitCode,
    watch_of: Callable[[Step], Watch],
    works_on: Callable[[Step | None], None],
) -> Generator[StepResult | Failure, None, None]:
    """Run the steps; yield what came of each that is done, as soon as it is known.

    A Failure comes last: what the server said of the one that is not done. There is none where
    another runner was faster, or where the guard wants a closer look.

    Only the last waits for the disk: the server writes commits in their order, and a crash takes
    a step and its row in the ledger together.
    """
    if not steps:
        return
    failure: Failure | None = None
    contexts = [Context(place, step, failed, watch_of(step)) for step in steps]
    sent = [_pieces(context, is_last=context is contexts[-1]) for context in contexts]
    current = contexts[0]

    def tick() -> None:
        current.watch.tick()

    started = time.monotonic()
    works_on(current.step)
    with closing(stream(place.work, [[(p.text, ()) for p in ps] for ps in sent], tick)) as answers:
        for number, (current, pieces) in enumerate(zip(contexts, sent, strict=True), start=1):
            answer = next(answers)
            if answer.error is not None:
                failure = _failure(current, pieces, answer)
                break
            works_on(steps[number] if number < len(steps) else None)
            came = Sent(rows_of(pieces, answer), notices=answer.skipped)
            yield script.result_of(current.step, came, time.monotonic() - started)
            started = time.monotonic()
    wire.roll_back(place.work)
    if failure is not None:
        yield failure


def _failure(context: Context, pieces: Sequence[Piece], answer: Answer) -> Failure | None:
    assert answer.error is not None  # noqa: S101 - only called with one
    found = meaning(context, pieces[answer.failed_index], answer.error, None)
    return context.watch.judge(found) if isinstance(found, Failure) else None


def _pieces(context: Context, *, is_last: bool) -> tuple[Piece, ...]:
    durability = {} if is_last else {"synchronous_commit": "off"}
    return pieces_of(
        context.step,
        script.opening(context.place, context.step, **durability),
        script.closing(context),
    )


def _may_travel(step: Step) -> bool:
    return (
        step.mode is Mode.TRANSACTION
        and not step.binds
        and not step.is_replay
        and not step.declarations
        and all(s.data is None for s in step.statements)
        and (step.is_ours or not any(statements.may_take(s) for s in step.statements))
    )
