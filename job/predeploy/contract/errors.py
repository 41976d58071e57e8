"""What stops a run before a report of its layers can exist.

A statement that fails is not here: that is a value (`plan.Failure`) and belongs to the report.
"""

from predeploy.contract.exit_codes import ExitCode


class JobError(Exception):
    """A run that cannot go on. `exit_code` says how it ends; the message says what to do next.

    No message ever holds a connection string, a password or a driver's text about one.
    """

    exit_code = ExitCode.UNEXPECTED

    def __init__(self, message: str, *, exit_code: ExitCode | None = None) -> None:
        """Make the error; `exit_code` replaces the class's own."""
        super().__init__(message)
        if exit_code is not None:
            self.exit_code = exit_code


class ProblemsError(JobError):
    """Everything that is wrong with one input, all at once."""

    def __init__(self, problems: tuple[str, ...], *, exit_code: ExitCode | None = None) -> None:
        """Keep `problems`: one sentence each, in the order in which a reader would fix them."""
        super().__init__("; ".join(problems), exit_code=exit_code)
        self.problems = problems


class SettingsError(ProblemsError):
    """Settings are missing or invalid."""

    exit_code = ExitCode.CONFIG


class SourcesError(ProblemsError):
    """The SQL folder cannot be run as it is."""

    exit_code = ExitCode.BAD_SOURCES


class DatabaseRefusedError(JobError):
    """The endpoint does not let us work: unreachable, denied, a standby, something else."""

    exit_code = ExitCode.UNAVAILABLE


class DeniedError(DatabaseRefusedError):
    """Our role lacks a privilege. `why` is the server's word, `is_filtered` row-level security's.

    What to do is `remedy`, as far as the one who raises it knows.
    """

    exit_code = ExitCode.DENIED

    def __init__(self, why: str, remedy: str, *, is_filtered: bool = False) -> None:
        """Make the error."""
        super().__init__(f"not allowed: {why}; {remedy}")
        self.why = why
        self.is_filtered = is_filtered


class NoTransactionsError(DatabaseRefusedError):
    """A pooler in statement mode: nothing of ours can be done through it."""

    exit_code = ExitCode.WRONG_ENDPOINT


class ConnectionLostError(JobError):
    """The connection died. What was committed is in the ledger; the rest is undone.

    `was_ended` says that an administrator has ended it: this session, or all of the server's.
    """

    exit_code = ExitCode.TEMPFAIL

    def __init__(self, message: str, *, was_ended: bool = False) -> None:
        """Make the error."""
        super().__init__(message)
        self.was_ended = was_ended


class EndedError(JobError):
    """An administrator has ended a session of ours, on a server that runs on: the run is over."""

    exit_code = ExitCode.TEMPFAIL

    def __init__(self, lost: ConnectionLostError) -> None:
        """Make the error from the one of the session."""
        why = str(lost).partition(";")[0]
        super().__init__(
            f"{why}; somebody has ended this session (pg_terminate_backend), so this run starts "
            "nothing again; what was committed is in the ledger; when the reason is gone, run again"
        )


class NotObtainedError(JobError):
    """The advisory lock or a table lock was not obtained in time, or the deadline was reached."""

    exit_code = ExitCode.TEMPFAIL


class ServerError(JobError):
    """The server has failed a query of ours for want of something: room, time, a lock, a right.

    `sqlstate` says of what; the driver's error is its cause.
    """

    def __init__(self, message: str, *, exit_code: ExitCode, sqlstate: str) -> None:
        """Make the error."""
        super().__init__(message, exit_code=exit_code)
        self.sqlstate = sqlstate


class RacedError(ServerError):
    """Another session has changed the same row of the catalog meanwhile: the same may pass now."""


class InternalError(JobError):
    """An invariant of ours does not hold."""

    exit_code = ExitCode.INTERNAL


class Interrupted(KeyboardInterrupt):
    """SIGTERM, SIGINT or the deadline. No JobError, so that no `except Exception` swallows it.

    `is_heard` says whether the server has confirmed that it stopped what it was doing for us.
    """

    is_heard = True

    def __init__(self, exit_code: ExitCode, why: str) -> None:
        """Keep the exit code: 143 for SIGTERM, 130 for SIGINT, 75 for the deadline."""
        super().__init__(why)
        self.exit_code = exit_code


def interruption_behind(error: BaseException) -> Interrupted | None:
    """Return the interruption that came in a place where Python turns it into another error.

    Up to 3.11 that is where a class is made (`__set_name__`), which imports do by the hundred.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, Interrupted):
        cause = cause.__cause__ or cause.__context__
    return cause
