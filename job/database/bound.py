"""Runs a seed's step: its statements one by one, their values bound, in one transaction."""

import time
from contextlib import closing

from job.database import wire
from job.database.blockers import Watch
from job.database.failure import failure_of
from job.database.place import Workplace
from job.database.stream import stream
from job.database.transaction import RESET, RESET_ROLE, rows_written, step_settings
from job.database.wire import Answer
from job.exit_codes import ExitCode
from job.plan import Failure, Step, StepResult
from job.secret import Secret

_OPENING = 2  # BEGIN and the settings
_CLOSING = ("set constraints all immediate", *RESET_ROLE, *RESET, "commit")


def run_bound(place: Workplace, step: Step, failed: ExitCode, watch: Watch) -> StepResult | Failure:
    """Run the step; a failure has left nothing of it, and does not quote its values."""
    started = time.monotonic()
    bound = [
        (statement.text, [v.reveal() if isinstance(v, Secret) else v for v in values])
        for statement, values in zip(step.statements, step.binds, strict=True)
    ]
    ours = ("begin", step_settings(place, step)), _CLOSING
    opening, ending = ([(sql, ()) for sql in texts] for texts in ours)
    with closing(stream(place.work, [[*opening, *bound, *ending]], watch.tick)) as answers:
        answer = next(answers)
    if answer.error is not None:
        wire.roll_back(place.work)
        return _failure(step, answer, failed)
    rows = rows_written(answer, _OPENING, len(bound))
    return StepResult(step.label, time.monotonic() - started, len(step.statements), rows)


def _failure(step: Step, answer: Answer, failed: ExitCode) -> Failure:
    error = answer.error
    assert error is not None  # noqa: S101 - only called with one
    index = answer.failed_index - _OPENING
    position, offset = error.diag.statement_position, None
    if position and 0 <= index < len(step.statements):
        offset = step.statements[index].start - step.statements[0].start + int(position) - 1
    return failure_of(step, error, index=index, offset=offset, failed=failed)
