"""Sends several transactions at once and yields each result as soon as it arrives.

Uses libpq's pipeline mode (https://www.postgresql.org/docs/current/libpq-pipeline-mode.html), with
a sync after each transaction. Each transaction starts with an explicit BEGIN: if one fails, it
stays open in the failed state, so that the server refuses all that follows, COMMIT included.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any

import psycopg
from psycopg import pq, waiting

from predeploy.database.server import wire
from predeploy.database.server.rows import Answer
from predeploy.database.server.wire import Connection

Query = tuple[str, Sequence[str]]
"""A statement, and the values of its parameters as text."""


def stream(
    conn: Connection, transactions: Sequence[Sequence[Query]], on_tick: Callable[[], None]
) -> Generator[Answer, None, None]:
    """Send all transactions with their statements; yield an answer for each, up to the first error.

    The connection is usable again after the last answer; after an error it has a failed transaction
    open. If the caller stops before that, running statements are cancelled and the connection is
    lost. Raises ConnectionLostError if it dies. `on_tick` is called every quarter of a second while
    waiting.
    """
    pgconn = conn.pgconn
    skipped: list[str] = []
    left = len(transactions)
    with wire.translated(conn), wire.noting_skips(conn, skipped):
        pgconn.enter_pipeline_mode()
        try:
            for transaction in transactions:
                for sql, values in transaction:
                    pgconn.send_query_params(sql.encode(), [value.encode() for value in values])
                pgconn.pipeline_sync()
            while left:
                results = wire.wait(conn, wire.ticking(_until_sync(pgconn), on_tick))
                left -= 1
                answer = wire.answer_of(conn, results, tuple(skipped))
                skipped.clear()
                if answer.error is not None:
                    while left:
                        wire.wait(conn, _until_sync(pgconn))
                        left -= 1
                    pgconn.exit_pipeline_mode()
                    yield answer
                    return
                if not left:
                    pgconn.exit_pipeline_mode()
                yield answer
        finally:
            if left:
                wire.halt(conn)


def _until_sync(pgconn: pq.abc.PGconn) -> Generator[Any, Any, list[pq.abc.PGresult]]:
    """Send and read until a sync comes back; return the results before it."""
    results: list[pq.abc.PGresult] = []
    while True:
        while not pgconn.is_busy():
            result = pgconn.get_result()
            if result is None:  # the end of one statement's results, or of the connection
                if pgconn.status != pq.ConnStatus.BAD:
                    continue
                if said := _up_to_failure(results):
                    return said
                raise psycopg.OperationalError("the connection is lost")
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                return results
            # Statements after an error in the pipeline were skipped, and have no result.
            if result.status != pq.ExecStatus.PIPELINE_ABORTED:
                results.append(result)
        ready = yield waiting.WAIT_RW if pgconn.flush() else waiting.WAIT_R
        if ready & waiting.READY_R:
            _consume(pgconn, results)


def _consume(pgconn: pq.abc.PGconn, results: Sequence[pq.abc.PGresult]) -> None:
    """Read what has arrived; the end of the connection must not hide an error already received."""
    try:
        pgconn.consume_input()
    except psycopg.OperationalError:
        if not _up_to_failure(results):
            raise


def _up_to_failure(results: Sequence[pq.abc.PGresult]) -> list[pq.abc.PGresult]:
    """Return the results up to the first error, after which libpq adds its own; empty if none."""
    failed = (i for i, r in enumerate(results) if r.status == pq.ExecStatus.FATAL_ERROR)
    end = next(failed, None)
    return [] if end is None else [*results[: end + 1]]
