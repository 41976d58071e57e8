"""The meaning of a failed statement: the run's exit code, and the position in the file."""

import re
from itertools import takewhile
from typing import TypeVar

import psycopg
from psycopg.errors import (
    ActiveSqlTransaction,
    InsufficientPrivilege,
    InvalidTransactionTermination,
    QueryCanceled,
)

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Failure
from predeploy.contract.secret import (
    Secret,
    constants_of,
    may_hold_secret,
    redact,
    redact_parts,
    without_constants,
)
from predeploy.contract.step import Addition, Online, Purpose, SchemaChange, Step, SyncStep
from predeploy.settings.declaration import way_to_leave

_T = TypeVar("_T")

_PARTITION = re.compile(r"""CREATE [^(]*? PARTITION OF "((?:[^"]|"")+)"\."((?:[^"]|"")+)" """)
_VIOLATION = "23"  # integrity_constraint_violation
# Errors for the second of two sessions that change the same object without a lock: a message that
# PostgreSQL does not translate, or a violation of a unique index of the catalog.
_INTERNAL = "XX000"
_RACED = re.compile(r"^tuple concurrently (?:updated|deleted)$")
_UNIQUE = "23505"
_COPY_LINE = re.compile(r"^COPY .*?, line (\d+)", re.MULTILINE)
_LOCK_FAILURES = {
    "55P03",  # lock_not_available: predeploy's own lock_timeout
    "40P01",  # deadlock_detected
    "40001",  # serialization_failure
}
_LOCKED = "wait for who holds the lock, or end that session; run again"
_TRY_AGAIN = "run again when no other session changes the same objects"
_MEMORY = (
    "give the server more memory; if it names max_locks_per_transaction, raise that, or split the "
    "file with BEGIN and COMMIT, since a step locks everything that it touches; run again"
)
READ_ONLY = (
    "point MIGRATION_DATABASE_URL at the primary, or take default_transaction_read_only off the "
    "role and the database (hosts put it on when the disk is nearly full)"
)
# By SQLSTATE or class (https://www.postgresql.org/docs/current/errcodes-appendix.html).
_EXIT_CODES = (
    ("08", ExitCode.TEMPFAIL),  # a connection that a statement opens to another server
    ("55P03", ExitCode.TEMPFAIL),
    ("40", ExitCode.TEMPFAIL),
    ("57014", ExitCode.TEMPFAIL),  # cancelled, by the deadline or by another session
    ("53", ExitCode.TEMPFAIL),  # out of disk space, memory or connections
    ("25006", ExitCode.WRONG_ENDPOINT),  # read-only transaction
    ("42501", ExitCode.DENIED),
)
_REMEDIES = (
    (
        "08",
        "make sure that the server that the statement connects to can be reached, then run again",
    ),
    ("55P03", _LOCKED),
    ("40", _LOCKED),
    ("57014", "give it more time (PREDEPLOY_DEADLINE), or find out who cancelled it; run again"),
    ("53200", _MEMORY),
    ("53300", "raise max_connections, or close idle sessions, then run again"),
    ("53", "make room on the server, then run again"),
    ("25006", READ_ONLY),
    ("42501", "GRANT what is missing to this role, or connect as the owner"),
    ("25001", "this cannot run in a transaction"),
)
# For a COMMIT or ROLLBACK in a procedure or a DO block.
_COMMITS_INSIDE = (
    "it commits by itself, so it has to run outside a transaction: put these two lines before the "
    "statement: -- predeploy: allow commit-inside\n-- predeploy: autocommit"
)
_COMMITS_ELSEWHERE = (
    "it commits by itself, so it has to run outside a transaction: move it into a migration, "
    "behind the lines -- predeploy: allow commit-inside\n-- predeploy: autocommit"
)
_COMMITS_DEEP = (
    "a procedure may commit only where it is called by CALL, or from a DO block, all the way up; "
    "not in a function, a block with EXCEPTION, or a procedure with a SET clause"
)
_OUTSIDE = (
    "this cannot run in a transaction: put the line -- predeploy: autocommit before the statement, "
    "and where a function or a block runs it, write it out in the file instead"
)
_MISREAD = ("42", "0A")  # syntax_error_or_access_rule_violation, feature_not_supported
_FIX = "fix the statement, then run again"
_WORDS_SHOWN = 2
_WRITES = re.compile(r"(?:with|insert|update|merge)\b", re.IGNORECASE)
_ROWS_QUOTED = ("23502", "23514")  # not-null and check violations: the detail quotes the whole row


def is_race(error: psycopg.Error) -> bool:
    """Whether another session changed the same catalog row at the same time."""
    if error.sqlstate == _UNIQUE:
        return error.diag.schema_name == "pg_catalog"
    words = error.diag.message_primary or ""
    return error.sqlstate == _INTERNAL and _RACED.match(words) is not None


def is_filtered(error: psycopg.Error) -> bool:
    """Whether `row_security = off` turned rows hidden by a policy into an error.

    The message is localized, so it is recognized by the function that raises it.
    """
    return (
        error.sqlstate == InsufficientPrivilege.sqlstate
        and error.diag.source_function == "check_enable_rls"
    )


def is_lock_failure(failure: Failure) -> bool:
    """Whether a lock was not obtained in time, or the session lost a deadlock."""
    return failure.sqlstate in _LOCK_FAILURES


def may_pass_again(failure: Failure) -> bool:
    """Whether the same step may succeed if it is tried again unchanged."""
    return failure.is_race or is_lock_failure(failure)


def was_cancelled(failure: Failure) -> bool:
    """Whether it was cancelled, by a user or by a timeout."""
    return failure.sqlstate == QueryCanceled.sqlstate


def has_lacked_locks(step: Step, failure: Failure) -> bool:
    """Whether a step failed because one or all of its locks were not obtained in time."""
    return (
        isinstance(step, SchemaChange) and step.is_brief and was_cancelled(failure)
    ) or is_lock_failure(failure)


def exit_code_of(error: psycopg.Error, otherwise: ExitCode) -> ExitCode:
    """Return the exit code of a run that ends with this error; `otherwise` if it is not known."""
    if is_race(error):
        return ExitCode.TEMPFAIL
    return _by_sqlstate(_EXIT_CODES, error.sqlstate or "") or otherwise


def remedy_for(error: psycopg.Error) -> str:
    """Return what to do about an error of the server."""
    if is_race(error):
        return _TRY_AGAIN
    known = _by_sqlstate(_REMEDIES, error.sqlstate or "")
    return known or error.diag.message_hint or _FIX


def failure_of(
    step: Step, error: psycopg.Error, *, index: int, offset: int | None, failed: ExitCode
) -> Failure:
    """Return the failure of `step`.

    `index` is the number of the failed statement, from 0; one past the last stands for the checks
    at the end of the step. `offset` is the position that the server reported, in characters from
    the start of the step's text; if given, it takes precedence. `failed` is the exit code for an
    error of the statement itself. A seed's detail is left out, as it may quote values.
    """
    sqlstate = error.sqlstate or ""
    number = _number_of(step, index, offset)
    line, column, statement = _locate(step, number, offset)
    if at := _COPY_LINE.search(error.diag.context or ""):
        copies = [s for s in step.statements if s.text == statement and s.data is not None]
        line, column = (copies[0].data_line + int(at[1]) - 1, 1) if copies else (line, column)
    at_end = offset is None and index >= len(step.statements)
    code, raced = exit_code_of(error, failed), is_race(error)
    remedy = _by_the_text(step, sqlstate, statement) or remedy_for(error)
    purpose = _purpose_of(step, number)
    if purpose is not None and code is failed and not raced:
        code, remedy = ExitCode.NOT_VERIFIED, _way_out(purpose, sqlstate, statement)
    binds = step.binds if isinstance(step, Addition) else ()
    bound = [value for values in binds for value in values if isinstance(value, Secret)]
    hidden = [*bound, *secrets_in(statement)]
    message = redact(error.diag.message_primary or str(error), hidden)
    message = redact_parts(message, bound)
    return Failure(
        exit_code=code,
        path=step.path,
        line=line,
        column=column,
        sqlstate=sqlstate,
        message=f"{message} (a deferred constraint, checked at the end of the step)"
        if at_end
        else message,
        detail="" if binds else detail_of(error, statement),
        remedy=redact(remedy, hidden),
        statement=shown(statement),
        about=purpose.about if purpose is not None else "",
        is_race=raced,
        is_filtered=is_filtered(error),
    )


def _purpose_of(step: Step, number: int) -> Purpose | None:
    purposes = step.purposes if isinstance(step, SyncStep) else ()
    return purposes[number] if number < len(purposes) else None


def _way_out(purpose: Purpose, sqlstate: str, statement: str) -> str:
    """Return what to do if the database's contents block a generated statement."""
    if purpose.violating_rows and sqlstate.startswith(_VIOLATION):
        return f"fix the rows that this finds: {purpose.violating_rows}"
    if sqlstate.startswith(_VIOLATION) and (partition := _PARTITION.match(statement)):
        parent = ".".join(name.replace('""', '"') for name in partition.groups())
        return (
            "its rows are in the default partition of its table: move them in a migration; or, "
            f"where maintenance has dropped it, leave the partitions to that in "
            f"{way_to_leave(parent)}"
        )
    return (
        "remove what blocks it in a migration, or declare it differently; the statement was: "
        f"{shown(statement)}"
    )


def _by_the_text(step: Step, sqlstate: str, text: str) -> str:
    """Return a remedy that follows from the step's text; empty if there is none."""
    if sqlstate == InvalidTransactionTermination.sqlstate:
        if isinstance(step, Online):
            return _COMMITS_DEEP
        return _COMMITS_INSIDE if step.entry is not None else _COMMITS_ELSEWHERE
    if sqlstate == ActiveSqlTransaction.sqlstate and step.entry is not None:
        return _OUTSIDE
    if sqlstate.startswith(_MISREAD):
        from predeploy.sql.parser.odd_characters import odd_characters  # noqa: PLC0415 - a settled run parses nothing

        written = next((s for s in step.statements if s.text == text), None)
        place = (written.line, written.column) if written and written.line else (1, 1)
        return odd_characters(text, *place)
    return ""


def shown(statement: str) -> str:
    """Return a statement on one line for people; if it may hold a secret, only its kind.

    Values that it writes into rows are left out: no name says which of them are secret.
    """
    if not may_hold_secret(statement):
        line = " ".join(statement.split())
        return without_constants(line) if _WRITES.match(line) else line
    words = takewhile(str.isalpha, statement.split(None, _WORDS_SHOWN)[:_WORDS_SHOWN])
    return f"{' '.join(words).upper()} … (not shown, as it may hold a secret)".lstrip()


def secrets_in(statement: str) -> tuple[Secret, ...]:
    """Return the constants that a message about the statement must not quote.

    Empty unless the statement may hold a secret. The server quotes constants that it cannot parse
    or cannot connect with.
    """
    return constants_of(statement) if may_hold_secret(statement) else ()


def detail_of(error: psycopg.Error, statement: str) -> str:
    """Return the server's detail and, if reported, the function and line it came from.

    Empty if the detail quotes a whole row, or if it or the statement may hold a secret.
    """
    inside = " ".join((error.diag.context or "").split())
    detail = "" if error.sqlstate in _ROWS_QUOTED else error.diag.message_detail
    told = "; ".join(filter(None, (detail, inside)))
    return "" if may_hold_secret(told) or may_hold_secret(statement) else told


def _number_of(step: Step, index: int, offset: int | None) -> int:
    """Return the number of the failed statement, from 0; the server's position takes precedence."""
    if not step.statements or offset is None or not 0 <= offset < len(step.text):
        return min(max(index, 0), max(len(step.statements) - 1, 0))
    first = step.statements[0]
    return sum(s.start - first.start <= offset for s in step.statements) - 1


def _locate(step: Step, number: int, offset: int | None) -> tuple[int, int, str]:
    """Return line and column from 1, and the statement's text; zeros if there is no statement."""
    if not step.statements:
        return 0, 0, ""
    first, statement = step.statements[0], step.statements[number]
    if offset is None or not 0 <= offset < len(step.text):
        return statement.line, statement.column, statement.text
    before = step.text[:offset]
    newlines = before.count("\n")
    column = offset - before.rindex("\n") if newlines else first.column + offset
    return first.line + newlines, column, statement.text


def _by_sqlstate(table: tuple[tuple[str, _T], ...], sqlstate: str) -> _T | None:
    return next((value for code, value in table if sqlstate.startswith(code)), None)
