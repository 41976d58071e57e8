"""Splits text that cannot be parsed at its semicolons and leaves it to the server."""

from collections.abc import Iterator
from itertools import chain

import postgast
from postgast import pg_query_pb2 as pb

from predeploy.contract.statement import Mode, Statement
from predeploy.sql.parser.offsets import Offsets
from predeploy.sql.parser.opening import opening
from predeploy.sql.parser.scanning import Token, tokens

_SEMICOLON, _OPEN, _CLOSE = pb.ASCII_59, pb.ASCII_40, pb.ASCII_41
# fmt: off
# Words that must not begin an unparsed statement: it could end predeploy's transaction or start a
# COPY.
_WEDGES = frozenset((
    "begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release", "prepare",
    "copy",
))
# fmt: on


class UnreadableError(Exception):
    """Text that libpg_query cannot parse and that is unsafe to run.

    `line` and `column` count from 1.
    """

    def __init__(self, complaint: str, line: int, column: int) -> None:
        """Keep the parser's complaint and the position where it gave up."""
        super().__init__(complaint)
        self.line = line
        self.column = column


def pieces(text: str, complaint: str, line: int, column: int) -> Iterator[Statement]:
    """Yield the texts between semicolons outside parentheses, without classifying them."""
    raw, offsets, depth = text.encode(), Offsets(text), 0
    first = last = None
    # None ends the last statement, which may have no semicolon.
    for token in chain(_tokens(text, line, column), [None]):
        if token is not None and (token.token != _SEMICOLON or depth):
            depth += {_OPEN: 1, _CLOSE: -1}.get(token.token, 0)
            first, last = first or token, token
        elif first and last:
            if raw[first.start : first.end].decode().lower() in _WEDGES:
                raise UnreadableError(complaint, line, column)
            start, at_line, at_column = offsets.place(first.start)
            end = offsets.char(last.end)
            body = text[start:end]
            yield Statement(body, start, at_line, at_column, "", Mode.TRANSACTION, opening(body))
            first = last = None


def _tokens(text: str, line: int, column: int) -> Iterator[Token]:
    try:
        yield from tokens(text)
    except postgast.PgQueryError as unscannable:
        raise UnreadableError(unscannable.message, line, column) from None
