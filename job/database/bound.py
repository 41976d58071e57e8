"""Runs a seed's step: its statements one by one, their values bound, in one transaction."""

import time

from job.database import wire
from job.database.blockers import Watch
from job.database.failure import failure_of
from job.database.place import Workplace
from job.database.transaction import RESET, RESET_ROLE, begin_sql, rows_written, step_settings
from job.exit_codes import ExitCode
from job.plan import Failure, Step, StepResult
from job.secret import Secret


def run_bound(place: Workplace, step: Step, failed: ExitCode, watch: Watch) -> StepResult | Failure:
    """Run the step; a failure has left nothing of it, and does not quote its values."""
    started = time.monotonic()
    outcome = _send(place, step, failed, watch)
    if isinstance(outcome, Failure):
        wire.roll_back(place.work)
        return outcome
    return StepResult(step.label, time.monotonic() - started, len(step.statements), outcome)


def _send(place: Workplace, step: Step, failed: ExitCode, watch: Watch) -> int | Failure:
    """Send a step's statements one by one, their values bound; return how many rows it wrote."""
    wire.ask(place.work, f"{begin_sql(step)}; {step_settings(place, step)}")
    rows = 0
    for index, (statement, values) in enumerate(zip(step.statements, step.binds, strict=True)):
        plain = [v.reveal() if isinstance(v, Secret) else v for v in values]
        answer = wire.send(place.work, statement.text, plain, on_tick=watch.tick)
        if answer.error is not None:
            position = answer.error.diag.statement_position
            start = statement.start - step.statements[0].start
            offset = start + int(position) - 1 if position else None
            return failure_of(step, answer.error, index=index, offset=offset, failed=failed)
        rows += rows_written(answer, 0, 1)
    closed = wire.send(place.work, f"set constraints all immediate; {RESET_ROLE}; {RESET}; commit")
    if closed.error is not None:
        end = len(step.statements)
        return failure_of(step, closed.error, index=end, offset=None, failed=failed)
    return rows
