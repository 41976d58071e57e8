"""Sends a block and collects the messages that it raises."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType

import psycopg

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Failure, Finding
from predeploy.database.server import wire
from predeploy.database.server.rows import NamedAnswer
from predeploy.database.server.wire import Connection
from predeploy.database.shadow.block import Block, failure_in
from predeploy.database.shadow.limits import body_not_checked


@dataclass(frozen=True, slots=True)
class Ran:
    """A block that ran: its findings, and the answer to the statements sent after it.

    That answer may be an error, which is not the block's.
    """

    findings: tuple[Finding, ...]
    behind: NamedAnswer


def run_block(
    conn: Connection,
    block: Block,
    opening: Sequence[str] = (),
    behind: Mapping[Hashable, str] = MappingProxyType({}),
) -> Ran | Failure:
    """Run a block between other statements, in one message; return its failure, if it fails.

    If a statement before the block fails other than for a temporary reason, its error is raised.
    """
    sent = block.behind(opening)
    with _hearing(conn) as notices:
        answer = wire.send(conn, ";\n".join((sent.sql, *behind.values())))
    place = len(opening)
    if answer.error is not None and answer.failed_index <= place:
        failure = failure_in(sent, answer.error, notices)
        if answer.failed_index < place and failure.exit_code is not ExitCode.TEMPFAIL:
            with wire.translated(conn):
                raise answer.error
        return failure
    findings = tuple(body_not_checked(function) for function in block.unchecked(notices))
    return Ran(findings, NamedAnswer(behind, replace(answer, results=answer.results[place + 1 :])))


def run_blocks(conn: Connection, blocks: Sequence[Block]) -> tuple[int, Failure] | None:
    """Run blocks in one message, each in a transaction; return the first failure, if any.

    It comes with the number of its block, from 0. The blocks before that are committed; it and
    those after it are not.
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
    """Collect the messages that the server sends in addition to its results."""
    heard: list[str] = []

    def listen(diagnostic: psycopg.errors.Diagnostic) -> None:
        heard.append(diagnostic.message_primary or "")

    conn.add_notice_handler(listen)
    try:
        yield heard
    finally:
        conn.remove_notice_handler(listen)
