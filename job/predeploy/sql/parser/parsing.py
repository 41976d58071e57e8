"""Calls the parser, except for texts that are nested too deeply for it."""

from typing import Any

import postgast
from google._upb import _message
from google.protobuf.message import DecodeError

from predeploy.contract.statement import Statement
from predeploy.sql.parser.depth import is_too_deep
from predeploy.sql.parser.repeated_rows import Runs, abridged

# Without it protobuf refuses deep but ordinary SQL (48 chained ||) with a DecodeError that is not a
# syntax error. The call is private to protobuf; postgast offers none of its own.
_message.SetAllowOversizeProtos(True)  # noqa: FBT003


class TooDeepError(postgast.PgQueryError):
    """The text may be nested too deeply for the parser, or take too long to parse."""

    def __init__(self) -> None:
        """Set the message; no position is known."""
        super().__init__("it is nested too deeply to be read")


def parse(text: str, runs: Runs | None = None) -> Any:
    """Return libpg_query's tree of a text; of a long INSERT, without the repeated rows.

    `runs` is the result of `repeated_rows` for the text, if it is known already. Raises
    postgast.PgQueryError for invalid SQL, and its subclass TooDeepError for text that has to be
    left to the server unparsed.
    """
    short = abridged(text, runs)
    try:
        parsed = _parsed(short.text)
    except postgast.PgQueryError as error:
        if error.cursorpos:
            error.cursorpos = short.char(error.cursorpos - 1) + 1
        raise
    for raw in parsed.stmts if short.bytes else ():
        end = short.byte(raw.stmt_location + raw.stmt_len) if raw.stmt_len else 0
        raw.stmt_location = short.byte(raw.stmt_location)
        raw.stmt_len = end - raw.stmt_location if end else 0
    return parsed


def node_of(statement: Statement) -> Any:
    """Return the parser's node of one statement. Raises as `parse` does."""
    return getattr(parse(statement.text).stmts[0].stmt, statement.node)


def commands_of(stmt: Any) -> list[Any]:
    """Return the commands of an ALTER TABLE, or of what is altered like a table."""
    return [node.alter_table_cmd for node in stmt.cmds]


def _parsed(text: str) -> Any:
    if is_too_deep(text):
        raise TooDeepError
    try:
        return postgast.parse(text)
    except DecodeError:
        raise TooDeepError from None
