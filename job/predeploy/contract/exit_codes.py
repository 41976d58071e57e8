"""The contract with platforms: one number per way a run can end.

The numbers are a stable interface (Kubernetes' podFailurePolicy, CI rules and people rely on them);
the meaning of a number never changes.
"""

from enum import IntEnum
from types import MappingProxyType


class ExitCode(IntEnum):
    """How a run ended. `name` in lower case with dashes is the name that reports print."""

    OK = 0
    UNEXPECTED = 1
    PENDING = 2
    USAGE = 64
    BAD_SOURCES = 65
    NO_INPUT = 66
    UNAVAILABLE = 69
    INTERNAL = 70
    TEMPFAIL = 75
    WRONG_ENDPOINT = 76
    DENIED = 77
    CONFIG = 78
    FAILED = 80
    PARTIAL = 81
    NOT_VERIFIED = 82
    SEED_FAILED = 83
    REFUSED = 84
    INTERRUPTED = 130
    TERMINATED = 143

    @property
    def label(self) -> str:
        """The name as reports print it, such as `not-verified`."""
        return self.name.lower().replace("_", "-")

    @property
    def is_retryable(self) -> bool:
        """Whether the same run may succeed later without any fix."""
        return self in _RETRYABLE

    @property
    def explanation(self) -> str:
        """One sentence: when a run ends with this code, and what to do next."""
        return EXPLANATIONS[self]


_RETRYABLE = frozenset(
    {ExitCode.UNAVAILABLE, ExitCode.TEMPFAIL, ExitCode.INTERRUPTED, ExitCode.TERMINATED}
)

EXPLANATIONS = MappingProxyType(
    {
        ExitCode.OK: "Applied, or nothing to do, or the database is ahead of this image.",
        ExitCode.UNEXPECTED: (
            "A bug in predeploy: please report the traceback, which holds no secret."
        ),
        ExitCode.PENDING: "Only `plan` and `status` with --exit-code: there is something to apply.",
        ExitCode.USAGE: "The arguments are wrong; see `predeploy --help`.",
        ExitCode.BAD_SOURCES: (
            "The SQL folder cannot be run as it is: something cannot be read or is not run, an "
            "applied step was edited, a name is used twice, a statement cannot be run here, or a "
            "baseline is needed. Fix the folder."
        ),
        ExitCode.NO_INPUT: (
            "The SQL folder or its migrations/ is missing or empty. Mount it or set "
            "PREDEPLOY_SQL_DIR."
        ),
        ExitCode.UNAVAILABLE: (
            "The database did not answer within PREDEPLOY_CONNECT_BUDGET. Check host and port, "
            "or give it more time."
        ),
        ExitCode.INTERNAL: "An invariant of predeploy is broken: please report it with the log.",
        ExitCode.TEMPFAIL: (
            "Not now: the lock was not obtained or was lost, a lock timeout or the deadline was "
            "used up, or the connection went away. The state is known; run again."
        ),
        ExitCode.WRONG_ENDPOINT: (
            "This address cannot serve a migration: a standby, an unsupported server, a pooler "
            "or a TLS mismatch. Point MIGRATION_DATABASE_URL at the primary itself."
        ),
        ExitCode.DENIED: (
            "The server refused the login or a privilege. Fix the role or the password."
        ),
        ExitCode.CONFIG: "Settings are missing or invalid; the report lists every one.",
        ExitCode.FAILED: (
            "A statement failed and its step was rolled back: nothing of it remains. Fix the "
            "statement and run again."
        ),
        ExitCode.PARTIAL: (
            "A statement outside a transaction failed; the report says what remains. Run again."
        ),
        ExitCode.NOT_VERIFIED: "The database lacks what the app declared; the report names it.",
        ExitCode.SEED_FAILED: "The seed could not be written; the report has the statement.",
        ExitCode.REFUSED: (
            "Policy forbids it: an undeclared loss, a drift, or ids that a sequence skipped."
        ),
        ExitCode.INTERRUPTED: "Ctrl-C: cancelled on the server and rolled back. Run again.",
        ExitCode.TERMINATED: "SIGTERM: cancelled on the server and rolled back. Run again.",
    }
)
