"""What stops a run before a report of its layers can exist.

A statement that fails is not here: that is a value (`plan.Failure`) and belongs to the report.
"""

from predeploy.contract.exit_codes import ExitCode


class JobError(Exception):
    """A run that cannot continue. `exit_code` says how it ends; the message says what to do next.

    No message ever holds a connection string, a password or a driver's text about one.
    """

    exit_code = ExitCode.UNEXPECTED

    def __init__(self, message: str, *, exit_code: ExitCode | None = None) -> None:
        """Create the error; `exit_code` overrides the default of the class."""
        super().__init__(message)
        if exit_code is not None:
            self.exit_code = exit_code


class ProblemsError(JobError):
    """All problems of one input, reported together."""

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
    """The endpoint cannot be used: unreachable, access denied, a standby, or another reason."""

    exit_code = ExitCode.UNAVAILABLE


class DeniedError(DatabaseRefusedError):
    """The role lacks a privilege, or row-level security would filter its rows (`is_filtered`).

    `why` is the server's message; `remedy` says what to do, as far as the caller knows.
    """

    exit_code = ExitCode.DENIED

    def __init__(self, why: str, remedy: str, *, is_filtered: bool = False) -> None:
        """Make the error."""
        super().__init__(f"not allowed: {why}; {remedy}")
        self.why = why
        self.is_filtered = is_filtered


class NoTransactionsError(DatabaseRefusedError):
    """A pooler in statement mode, through which predeploy cannot run anything."""

    exit_code = ExitCode.WRONG_ENDPOINT


class ConnectionLostError(JobError):
    """The connection was lost. What was committed is in the ledger; the rest is rolled back.

    `was_ended` says that an administrator terminated it: this session, or all of the server's.
    """

    exit_code = ExitCode.TEMPFAIL

    def __init__(self, message: str, *, was_ended: bool = False) -> None:
        """Make the error."""
        super().__init__(message)
        self.was_ended = was_ended


class EndedError(JobError):
    """An administrator terminated one of predeploy's sessions while the server kept running."""

    exit_code = ExitCode.TEMPFAIL

    def __init__(self, lost: ConnectionLostError) -> None:
        """Create the error from the one that the session raised."""
        why = str(lost).partition(";")[0]
        super().__init__(
            f"{why}; somebody has ended this session (pg_terminate_backend), so this run starts "
            "nothing again; what was committed is in the ledger; when the reason is gone, run again"
        )


class NotObtainedError(JobError):
    """The advisory lock or a table lock was not obtained in time, or the deadline was reached."""

    exit_code = ExitCode.TEMPFAIL


class ServerError(JobError):
    """A query of predeploy's failed for lack of a resource: space, time, a lock or a privilege.

    `sqlstate` says which; the driver's error is the cause (`__cause__`).
    """

    def __init__(self, message: str, *, exit_code: ExitCode, sqlstate: str) -> None:
        """Make the error."""
        super().__init__(message, exit_code=exit_code)
        self.sqlstate = sqlstate


class RacedError(ServerError):
    """Another session changed the same catalog row concurrently; a retry may succeed."""


class InternalError(JobError):
    """An invariant of predeploy does not hold."""

    exit_code = ExitCode.INTERNAL


class Interrupted(KeyboardInterrupt):
    """SIGTERM, SIGINT or the deadline. Not a JobError, so that no `except Exception` swallows it.

    `is_heard` says whether the server has confirmed that it cancelled predeploy's statement.
    `remains` says what a command that was stopped has left; empty for anything else.
    """

    is_heard = True
    remains = ""

    def __init__(self, exit_code: ExitCode, why: str) -> None:
        """Keep the exit code: 143 for SIGTERM, 130 for SIGINT, 75 for the deadline."""
        super().__init__(why)
        self.exit_code = exit_code


def interruption_behind(error: BaseException) -> Interrupted | None:
    """Return the interruption that Python has wrapped in another error.

    Up to Python 3.11 this happens during class creation (`__set_name__`), which imports do by the
    hundred.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, Interrupted):
        cause = cause.__cause__ or cause.__context__
    return cause
