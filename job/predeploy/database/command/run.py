"""Runs the operator's command under the lock, and judges what it did to the database."""

import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import structlog

from predeploy.contract.errors import ConnectionLostError, Interrupted, JobError, NotObtainedError
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Failure, StepResult
from predeploy.contract.step import CommandStep
from predeploy.database.command import sessions
from predeploy.database.command.changes import (
    NOTHING,
    State,
    as_text,
    at_stake,
    from_text,
    lost_between,
    read_state,
    told,
)
from predeploy.database.command.process import Process, started
from predeploy.database.ledger import notes
from predeploy.database.server import wire
from predeploy.database.server.connection import require_alive
from predeploy.database.server.pooler import Pooling
from predeploy.database.server.rows import typed
from predeploy.database.server.transaction import command_application
from predeploy.database.session.lock_monitor import LockMonitor
from predeploy.database.session.lock_wait_budget import LOCK_NOT_AVAILABLE, LockWaitBudget
from predeploy.database.session.run_context import RunContext
from predeploy.judgment.verdict import judge_command
from predeploy.losses.loss import Holdings
from predeploy.settings.command import environment_of

log = structlog.get_logger()

_LINES_A_SECOND = 200  # platforms drop lines beyond a few hundred
_KEPT_LINES = 20
_NOT_STARTED = {
    FileNotFoundError: "there is no such program in this image, or no such working directory",
    PermissionError: "it may not be executed",
}
# The server then notices within a second that the command is gone, and rolls back what it runs.
_NOTICING = {"client_connection_check_interval": "1s"}
_STAYS = "what its own transactions had committed by then stays"


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a command ended: its status, its last lines, and whether it waited for a lock.

    `not_started` says why it could not be started; then the rest says nothing.
    """

    status: int = 0
    lines: tuple[str, ...] = ()
    has_waited: bool = False
    duration_s: float = 0.0
    not_started: str = ""

    @property
    def text(self) -> str:
        """Its last lines."""
        return "\n".join(self.lines)

    @property
    def how(self) -> str:
        """The end of a sentence that begins with the command."""
        if self.not_started:
            return f"could not be started: {self.not_started}"
        if self.status < 0:
            name = signal.Signals(-self.status).name
            return f"was ended by {name}"
        return f"exited with {self.status}"


@dataclass(frozen=True, slots=True)
class _Sessions:
    """What identifies the command's sessions: their name, and when they began."""

    application: str
    since: str

    @property
    def pids_sql(self) -> str:
        return sessions.pids_sql(self.application, self.since)


def run_command(
    context: RunContext, step: CommandStep, monitor: LockMonitor
) -> StepResult | Failure:
    """Run the command to its end; judge it by its status and by what the catalog says.

    What there is to lose is recorded in the ledger before: if this run is killed, the next one
    judges what was lost since. A failure ends with 80 if the catalog is unchanged, otherwise with
    81; with 84 after an undeclared loss, which is recorded, too; and with 75 if it lacked a lock
    and may run again.

    Raises JobError (78) if the command cannot be started, NotObtainedError (75) if the connection
    that holds the lock is lost, and Interrupted: the command is stopped first, and its statements
    are cancelled.
    """
    before = read_state(context.work, context.settings.ledger_schema)
    held = _held_before(context, before)
    ended = _run(context, step, monitor)
    after = read_state(context.work, context.settings.ledger_schema)
    lost = lost_between(held, after)
    refused, missing = judge_command(step, lost, context.settings)
    wire.ask(context.work, notes.end_command_sql(context.settings.ledger_schema, missing))
    if refused is not None:
        also = f"; it {ended.how}" if ended.status or ended.not_started else ""
        return replace(refused, message=f"{refused.message}{also}", detail=ended.text)
    if ended.not_started:
        raise JobError(
            f"{step.label} {ended.how}; correct command under [migrate] in predeploy.toml, or run "
            "predeploy in the app's image",
            exit_code=ExitCode.CONFIG,
        )
    if ended.status:
        failure = _failed(step, ended, told(before, after))
        also = _resumed(context)
        return replace(failure, remedy=f"{failure.remedy}; {also}") if also else failure
    return StepResult(
        step.label,
        ended.duration_s,
        statements=0,
        rows=0,
        losses=tuple(str(loss) for loss in lost),
        changes=told(before, after),
        unread=_unread(step, before, after),
    )


def _held_before(context: RunContext, now: State) -> Holdings:
    """Return what there was before the first start whose end is not recorded; record this one.

    A database without rows has nothing to lose.
    """
    schema = context.settings.ledger_schema
    holdings = NOTHING if context.is_blank else at_stake(now)
    text = wire.storable(context.work, as_text(holdings))
    noted = notes.note_before_command_sql(schema, text)
    rows = wire.ask(context.work, f"{noted}; {notes.before_command_sql(schema)}")
    ((kept,),) = typed(tuple[str], rows)
    return from_text(kept)


def _run(context: RunContext, step: CommandStep, monitor: LockMonitor) -> _Ended:
    settings, command = context.settings, context.settings.command
    assert command is not None  # noqa: S101 - the step was made of it
    wait_s = settings.ddl_lock_timeout_s
    hold = LockWaitBudget(context.work, wait_s) if step.may_retry else None
    theirs = _Sessions(
        command_application(settings.ledger_schema, context.run_id), sessions.now(context.work)
    )
    monitor.follow(theirs.pids_sql, context.work, context.guard_pid())
    monitor.limit(hold)
    hear = _Listener(step.label)

    def tick() -> None:
        monitor.tick()
        require_alive(context.guard)

    # A pooler may refuse or drop startup options.
    options = _NOTICING if context.pooling is Pooling.NONE else {}
    if options and hold is not None:
        options = {**options, "lock_timeout": f"{int(wait_s * 1000)}"}
    environ = environment_of(command, settings.endpoint, theirs.application, options)
    begun_s = time.monotonic()
    log.info(f"running {step.label}")
    try:
        with (
            started(command.argv, environ) as process,
            _stopping(process, context, step, theirs, hear),
        ):
            status = process.follow(hear, tick)
    except OSError as error:
        # Not raised here: an earlier run, which was killed, may have left a loss to be judged.
        why = _NOT_STARTED.get(type(error), error.strerror or "the system refuses it")
        return _Ended(not_started=why)
    hear.end()
    has_waited = hold is not None and hold.has_just_waited()
    return _Ended(status, (*hear.last,), has_waited, time.monotonic() - begun_s)


@contextmanager
def _stopping(
    process: Process,
    context: RunContext,
    step: CommandStep,
    theirs: _Sessions,
    hear: Callable[[str], None],
) -> Iterator[None]:
    """Stop the command, and what it runs on the server, if anything stops this run."""
    try:
        yield
    except BaseException as stop:
        is_from_keyboard = isinstance(stop, Interrupted) and stop.exit_code is ExitCode.INTERRUPTED
        number = signal.SIGINT if is_from_keyboard else signal.SIGTERM
        ended = _Ended(process.stop(number, hear))
        left = sessions.cancel(context.settings.endpoint, theirs.application, theirs.since)
        told_so = (f"it {ended.how} on {number.name}", left, _STAYS, _resumed(context))
        remains = "; ".join(filter(None, told_so))
        if isinstance(stop, Interrupted):
            stop.remains = remains
        if isinstance(stop, ConnectionLostError):
            why = str(stop).partition(";")[0]
            what = f"{why}; {step.label} was stopped: {remains}; run again"
            raise NotObtainedError(what) from None
        raise


class _Listener:
    """Logs a command's lines, at most so many a second, and keeps the last ones."""

    def __init__(self, label: str) -> None:
        """Log in the name of `label`."""
        self.last = deque[str](maxlen=_KEPT_LINES)
        self._label = label
        self._second, self._count, self._left_out = 0, 0, 0

    def __call__(self, line: str) -> None:
        """Log a line; blank ones are left out."""
        if not line.strip():
            return
        self.last.append(line)
        second = int(time.monotonic())
        if second != self._second:
            self.end()
            self._second, self._count = second, 0
        self._count += 1
        if self._count <= _LINES_A_SECOND:
            log.info(line, command=self._label)
        else:
            self._left_out += 1

    def end(self) -> None:
        """Say how many lines were left out."""
        if self._left_out:
            log.warning(f"{self._left_out} more lines of {self._label} were left out of the log")
            self._left_out = 0


def _resumed(context: RunContext) -> str:
    """Say what the command's program may ask for before it goes on; empty if nothing is known."""
    resume = context.settings.command.resume if context.settings.command else ""
    return f"it may refuse to go on before {resume}" if resume else ""


def _unread(step: CommandStep, before: State, after: State) -> str:
    names = sorted(before.unread | after.unread)
    if not names:
        return ""
    return (
        f"whether {step.label} has emptied {', '.join(names)} is not known: the table is locked, "
        "or may not be read"
    )


def _failed(step: CommandStep, ended: _Ended, changes: str) -> Failure:
    last = f": {ended.lines[-1]}" if ended.lines else ""
    if ended.status == -signal.SIGKILL:
        last += "; out of memory, it may be"
    failure = Failure(
        ExitCode.PARTIAL if changes else ExitCode.FAILED,
        step.path,
        line=0,
        column=0,
        sqlstate="",
        message=f"{ended.how}{last}",
        detail=ended.text,
        remains=f"it {changes}, and that stays" if changes else "the schema is as it was before",
        remedy="see its lines above; fix what it says, and run again",
    )
    if not (step.may_retry and ended.has_waited):
        return failure
    return replace(
        failure,
        exit_code=ExitCode.TEMPFAIL,
        sqlstate=LOCK_NOT_AVAILABLE,
        message=f"{ended.how}, as it did not get a lock in time",
    )
