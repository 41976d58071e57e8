"""Sends a block and hears what it tells."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Failure, Finding
from predeploy.database.server import wire
from predeploy.database.server.wire import Answer, Connection
from predeploy.database.shadow.block import Block, failure_in
from predeploy.database.shadow.limits import body_not_checked


@dataclass(frozen=True, slots=True)
class Ran:
    """A block has run: what is to be said of it, and the answer to what was sent along behind it.

    That may be an error, of which the block knows nothing.
    """

    findings: tuple[Finding, ...]
    behind: Answer


def run_block(
    conn: Connection, block: Block, opening: Sequence[str] = (), behind: Sequence[str] = ()
) -> Ran | Failure:
    """Run a block between statements of ours, in one message; return its failure, if it fails.

    Where those before it fail, and not for a lock, that is raised.
    """
    sent = block.behind(opening)
    with _hearing(conn) as notices:
        answer = wire.send(conn, ";\n".join((sent.sql, *behind)))
    place = len(opening)
    if answer.error is not None and answer.failed_index <= place:
        failure = failure_in(sent, answer.error, notices)
        if answer.failed_index < place and failure.exit_code is not ExitCode.TEMPFAIL:
            with wire.translated(conn):
                raise answer.error
        return failure
    findings = tuple(body_not_checked(function) for function in block.unchecked(notices))
    return Ran(findings, replace(answer, results=answer.results[place + 1 :]))


def run_blocks(conn: Connection, blocks: Sequence[Block]) -> tuple[int, Failure] | None:
    """Run blocks in one message, each a transaction; return which fails, from 0, and why.

    Those before it are committed then, and nothing of it or behind it is.
    """
    parts = [part for block in blocks for part in ("begin", block.sql, "commit")]
    with _hearing(conn) as notices:
        answer = wire.send(conn, ";\n".join(parts))
    if answer.error is None:
        return None
    wire.roll_back(conn)
    failed = answer.failed_index // 3
    block = blocks[failed].behind(parts[: 3 * failed + 1])
    return failed, failure_in(block, answer.error, notices)


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
