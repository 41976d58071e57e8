"""Sends a block and hears what it tells."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from job.database import wire
from job.database.shadow.block import Block, failure_in
from job.database.shadow.limits import body_not_checked
from job.database.wire import Connection
from job.plan import Failure, Finding

Loaded = tuple[Finding, ...] | Failure


def run_block(conn: Connection, block: Block) -> Loaded:
    """Run a block; return what is to be said of it, or its failure."""
    with _hearing(conn) as notices:
        answer = wire.send(conn, block.sql)
    if answer.error is not None:
        return failure_in(block, answer.error, notices)
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
