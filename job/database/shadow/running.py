"""Sends a block and hears what it tells."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg

from job.database import wire
from job.database.shadow.block import Block, failure_in
from job.database.shadow.limits import body_not_checked
from job.database.wire import Connection
from job.exit_codes import ExitCode
from job.plan import Failure, Finding

Loaded = tuple[Finding, ...] | Failure


def run_block(conn: Connection, block: Block, opening: Sequence[str] = ()) -> Loaded:
    """Run a block behind statements of ours; return what is to be said of it, or its failure.

    Where ours fail, and not for a lock, that is raised.
    """
    sent = block.behind(opening)
    with _hearing(conn) as notices:
        answer = wire.send(conn, sent.sql)
    if answer.error is not None:
        failure = failure_in(sent, answer.error, notices)
        if answer.failed_index < len(opening) and failure.exit_code is not ExitCode.TEMPFAIL:
            with wire.translated(conn):
                raise answer.error
        return failure
    return tuple(body_not_checked(ready.statement) for ready in block.unchecked(notices))


@contextmanager
def _hearing(conn: Connection) -> Iterator[list[str]]:
    """Collect the messages that the server sends beside its results."""
    heard: list[str] = []

    def listen(diagnostic: psycopg.errors.Diagnostic) -> None:
        heard.append(diagnostic.message_primary or "")

    conn.add_notice_handler(listen)
    try:
        yield heard
    finally:
        conn.remove_notice_handler(listen)
