"""Sends one message to the server, reads all results, and translates the driver's errors.

Everything goes through `send`: text without parameters is one simple-protocol message
(https://www.postgresql.org/docs/current/protocol-flow.html), whose statements the server runs in
order up to the first that fails; the number of results tells which one that was.
"""

import time
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import generators, pq, waiting

from predeploy.contract.errors import (
    ConnectionLostError,
    DeniedError,
    Interrupted,
    JobError,
    NotObtainedError,
    NoTransactionsError,
    RacedError,
    ServerError,
)
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.quoting import identifier
from predeploy.database.server.failure import exit_code_of, is_filtered, is_race, remedy_for
from predeploy.database.server.path import OWN_PATH
from predeploy.database.server.privilege import grant_for
from predeploy.database.server.rows import SEPARATOR, Answer, NamedAnswer, Row

Connection = psycopg.Connection[tuple[Any, ...]]
_T = TypeVar("_T")

_TICK_S = 0.25
_SAVEPOINT = "predeploy_ours"
# Limits on shutdown, so that a job ends within a second of a signal, even behind a dead network.
# What could not be cancelled the server ends itself, once it notices that the client is gone.
_CANCEL_S = 0.2
_DRAIN_S = 0.2
_AGAIN_S = 0.05
_ALIVE_S = 5
_COPY_CHUNK = 1 << 16
_COPY = (pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH)
# SQLSTATEs of `already exists, skipping`: schema, table or index, object, column.
_ALREADY_THERE = ("42P06", "42P07", "42710", "42701")
_GONE = ("08", "57P01", "57P02", "57P03")
ENDED = "57P01"
"""The SQLSTATE of a session that was terminated, alone or by a shutdown of the server."""
DIRECTLY = "set MIGRATION_DATABASE_URL to the address of the server itself"
"""The remedy if a pooler prevents something."""
# A pooler's own error when it hangs up is not a lost connection, which would be retried.
_IN_STATEMENT_MODE = (
    f"the address leads through a pooler in statement mode, which knows no transactions; {DIRECTLY}"
)
_POOL_FULL = (
    "the pooler had no free server connection within its query_wait_timeout; raise its pool size, "
    f"or {DIRECTLY}"
)


def storable(conn: Connection, text: str) -> str:
    """Return the text, reduced to ASCII unless the database's encoding holds all of Unicode.

    SQL_ASCII means no encoding, and accepts anything.
    """
    if conn.info.parameter_status("server_encoding") in ("UTF8", "SQL_ASCII"):
        return text
    return text.encode("ascii", errors="replace").decode()


def send(
    conn: Connection,
    sql: str,
    *,
    on_tick: Callable[[], None] = lambda: None,
) -> Answer:
    """Send one message and wait for all of its results.

    `on_tick` is called every quarter of a second while waiting. Raises ConnectionLostError if the
    connection dies, and JobError if a COPY from or to the client was started. On an interruption
    the statement is cancelled on the server first.
    """
    pgconn = conn.pgconn
    skipped: list[str] = []
    with translated(conn), noting_skips(conn, skipped):
        pgconn.send_query(sql.encode())
        results = wait(conn, ticking(generators.execute(pgconn), on_tick))
    if results and results[-1].status in _COPY:
        # The connection is left in COPY mode, so it cannot be used for anything else.
        conn.close()
        raise JobError("a COPY from or to the client was started; it cannot be part of a step")
    return answer_of(conn, results, tuple(skipped))


def send_named(
    conn: Connection, texts: Mapping[Hashable, str], *, on_tick: Callable[[], None] = lambda: None
) -> NamedAnswer:
    """Like `send`, for texts of one statement each, whose results are then read by name."""
    return NamedAnswer(texts, send(conn, SEPARATOR.join(texts.values()), on_tick=on_tick))


@contextmanager
def noting_skips(conn: Connection, skipped: list[str]) -> Iterator[None]:
    """Add to `skipped` the notices of IF NOT EXISTS about objects that already exist."""

    def notice(diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.sqlstate in _ALREADY_THERE:
            skipped.append(diagnostic.message_primary or "")

    conn.add_notice_handler(notice)
    try:
        yield
    finally:
        conn.remove_notice_handler(notice)


def answer_of(
    conn: Connection, results: Sequence[pq.abc.PGresult], skipped: tuple[str, ...] = ()
) -> Answer:
    """Return results as an answer. Raises ConnectionLostError if the last one reports that."""
    if not results or results[-1].status != pq.ExecStatus.FATAL_ERROR:
        return Answer(tuple(results), None, skipped)
    error = psycopg.errors.error_from_result(results[-1], conn.info.encoding)
    if conn.pgconn.status == pq.ConnStatus.BAD or _is_gone(error):
        raise _lost(error) from None
    return Answer(tuple(results), error, skipped)


def send_copy(
    conn: Connection, sql: str, data: str, *, on_tick: Callable[[], None] = lambda: None
) -> Answer:
    """Send one COPY … FROM STDIN and its data; return an answer as `send` does."""
    pgconn = conn.pgconn
    with translated(conn):
        pgconn.send_query(sql.encode())
        results = wait(conn, ticking(generators.execute(pgconn), on_tick))
        if results[-1].status != pq.ExecStatus.COPY_IN:
            return answer_of(conn, results)
        for start in range(0, len(data), _COPY_CHUNK):
            wait(conn, generators.copy_to(pgconn, data[start : start + _COPY_CHUNK].encode()))
        try:
            ended = wait(conn, generators.copy_end(pgconn, None))
        except psycopg.Error as error:
            # copy_end raises the server's error instead of returning its result.
            if error.sqlstate and not _is_gone(error):
                return Answer((results[-1],), error)
            raise
    return Answer((ended,), None)


def ask(conn: Connection, sql: str, *, on_tick: Callable[[], None] = lambda: None) -> list[Row]:
    """Send predeploy's own statements; return the rows of the last. An error is raised.

    If no transaction is open they run under predeploy's search_path; an open one has its own path.
    Use `ask_plainly` for what cannot run in a transaction.
    """
    is_idle = conn.pgconn.transaction_status == pq.TransactionStatus.IDLE
    return ask_plainly(conn, f"{OWN_PATH};\n{sql}" if is_idle else sql, on_tick=on_tick)


def ask_all(
    conn: Connection,
    questions: Sequence[str],
    *,
    opening: Sequence[str] = (),
    closing: Sequence[str] = (),
) -> list[list[Row]]:
    """Send several single-statement queries in one message; return the rows of each.

    The texts in `opening` are sent before them, each with one or more statements, and those in
    `closing`, each of one statement, after them. An error is raised.
    """
    answer = send(conn, ";\n".join([*opening, *questions, *closing]))
    _require_no_error(conn, answer)
    first = len(answer.results) - len(closing) - len(questions)
    return [answer.rows(first + number) for number in range(len(questions))]


def ask_plainly(
    conn: Connection, sql: str, *, on_tick: Callable[[], None] = lambda: None
) -> list[Row]:
    """Like `ask`, but with the current search_path, which must not matter to `sql`."""
    answer = send(conn, sql, on_tick=on_tick)
    _require_no_error(conn, answer)
    return answer.last


def ask_within(conn: Connection, sql: str) -> list[Row]:
    """Return the rows of one query in the open transaction, under predeploy's search_path.

    The transaction's own search_path is restored. An error is raised.
    """
    (rows,) = ask_all(
        conn,
        [sql],
        opening=[f"savepoint {_SAVEPOINT}", OWN_PATH],
        closing=[f"rollback to savepoint {_SAVEPOINT}", f"release savepoint {_SAVEPOINT}"],
    )
    return rows


def _require_no_error(conn: Connection, answer: Answer) -> None:
    if answer.error is not None:
        with translated(conn):
            raise answer.error


def roll_back(conn: Connection) -> None:
    """Roll back the open transaction, if there is one."""
    if conn.pgconn.transaction_status != pq.TransactionStatus.IDLE:
        send(conn, "rollback")


@contextmanager
def translated(conn: Connection) -> Iterator[None]:
    """Translate the driver's errors into predeploy's, where the driver is called."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        why, role = error.diag.message_primary or "", identifier(conn.info.user)
        hidden = is_filtered(error)
        remedy = f"ALTER ROLE {role} BYPASSRLS" if hidden else grant_for(why, role)
        raise DeniedError(why, remedy, is_filtered=hidden) from None
    except psycopg.Error as error:
        if conn.pgconn.status == pq.ConnStatus.BAD or _is_gone(error):
            raise _lost(error) from None
        sqlstate = error.sqlstate or ""
        exit_code = exit_code_of(error, ExitCode.UNEXPECTED)
        if exit_code is ExitCode.UNEXPECTED:
            raise
        message = f"{error.diag.message_primary} ({sqlstate}); {remedy_for(error)}"
        kind = RacedError if is_race(error) else ServerError
        raise kind(message, exit_code=exit_code, sqlstate=sqlstate) from error


@contextmanager
def closing(conn: Connection) -> Iterator[Connection]:
    """Close the connection at the end; cancel what still runs, so that no lock is left."""
    try:
        yield conn
    finally:
        halt(conn)
        conn.close()


def wait(conn: Connection, gen: Generator[Any, Any, _T]) -> _T:
    """Wait as psycopg's own method does, but only briefly after an interruption."""
    try:
        return waiting.wait(gen, conn.pgconn.socket, _TICK_S)
    except BaseException as stop:
        gen.close()
        is_heard = halt(conn)
        if isinstance(stop, Interrupted):
            stop.is_heard &= is_heard
        raise


def halt(conn: Connection) -> bool:
    """Cancel what runs; close the connection if the server does not respond to that.

    Return whether the server responded.
    """
    if conn.pgconn.transaction_status != pq.TransactionStatus.ACTIVE:
        return True
    if conn.pgconn.pipeline_status != pq.PipelineStatus.OFF:
        return _halt_stream(conn)
    drain = ticking(generators.fetch_many(conn.pgconn), patience(_DRAIN_S))
    try:
        conn.cancel_safe(timeout=_CANCEL_S)
        waiting.wait(drain, conn.pgconn.socket, _TICK_S)
    except (psycopg.Error, ConnectionLostError):
        conn.close()
        return False
    if conn.pgconn.transaction_status == pq.TransactionStatus.ACTIVE:  # in the middle of a COPY
        conn.close()
    return True


def _halt_stream(conn: Connection) -> bool:
    """Cancel what runs; the server then skips the rest of the pipeline.

    The request is sent twice, because the server ignores one that arrives between two statements.
    """
    try:
        conn.cancel_safe(timeout=_CANCEL_S)
        time.sleep(_AGAIN_S)
        conn.cancel_safe(timeout=_CANCEL_S)
    except psycopg.Error:
        return False
    finally:
        conn.close()
    return True


def patience(seconds: float) -> Callable[[], None]:
    """Return a tick that raises ConnectionLostError if nothing has arrived for `seconds`."""
    end = time.monotonic() + seconds

    def tick() -> None:
        if time.monotonic() >= end:
            raise ConnectionLostError("the server did not answer in time; run again")

    return tick


def ticking(
    gen: Generator[Any, Any, list[pq.abc.PGresult]], on_tick: Callable[[], None]
) -> Generator[Any, Any, list[pq.abc.PGresult]]:
    """Run a psycopg generator; call `on_tick` whenever a tick passes without a result."""
    try:
        state = next(gen)
        while True:
            ready = yield state
            if not ready:
                on_tick()
            state = gen.send(ready)
    except StopIteration as done:
        results: list[pq.abc.PGresult] = done.value
        return results


def _is_gone(error: psycopg.Error) -> bool:
    """Whether the connection is gone. An error reported by the server has an SQLSTATE.

    An OperationalError without one comes from the driver: its socket was reset while waiting, which
    libpq has not noticed yet. A mere ERROR belongs to the statement, which has lost a connection
    that it had opened to another server.
    """
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate.startswith(_GONE) and error.diag.severity_nonlocalized != "ERROR"


def _lost(error: psycopg.Error) -> JobError:
    """Return the error to raise for a connection that has ended."""
    why = error.diag.message_primary or "the server closed it or the network did"
    if "statement pooling mode" in why:
        return NoTransactionsError(_IN_STATEMENT_MODE)
    if "query_wait_timeout" in why:
        return NotObtainedError(_POOL_FULL)
    return ConnectionLostError(
        f"the connection was lost ({why}); what was committed is in the ledger, run again",
        was_ended=error.sqlstate == ENDED,
    )


def answers(conn: Connection) -> bool:
    """Whether the server still responds on an idle connection."""
    try:
        ask_plainly(conn, "select 1", on_tick=patience(_ALIVE_S))
    except ConnectionLostError:
        return False
    return True
