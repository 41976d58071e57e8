"""Parses a script in parts: the tree of a large one would fill the memory."""

from collections.abc import Iterator
from typing import Any

import postgast

from job.statements.parsing import TooDeepError, parse

_PART = 40_000  # characters that are parsed at once


class GaveUpError(Exception):
    """The parser's complaint, and at which character of the text."""

    def __init__(self, complaint: str, offset: int) -> None:
        """Keep both."""
        super().__init__(complaint)
        self.complaint = complaint
        self.offset = offset


def parts(sql: str) -> Iterator[tuple[str, Any]]:
    """Yield the text in parts, each with its tree: that of a large text would fill the memory.

    A part ends with a semicolon. Where the parser reads it to that end, the semicolon is one
    between statements: behind one in a literal, a block comment, parentheses or BEGIN ATOMIC, the
    text would be unfinished. Then more is tried, twice as much each time, so that it stays linear.
    """
    start, size = 0, _PART
    while start < len(sql) or not start:
        end = _end_of_part(sql, start, start + size)
        part = sql[start:end]
        try:
            parsed = parse(part)
        except postgast.PgQueryError as error:
            # What follows makes no text less deep.
            if end == len(sql) or isinstance(error, TooDeepError):
                offset = start + max(error.cursorpos - 1, 0)
                raise GaveUpError(error.message, offset) from None
            size *= 2
            continue
        yield part, parsed
        if end == len(sql):
            return
        start, size = end, _PART


def _end_of_part(sql: str, start: int, at_least: int) -> int:
    """Return the place behind a semicolon that no `--` may have made a comment, or the end."""
    while found := sql.find(";", at_least) + 1:
        if "--" not in sql[max(sql.rfind("\n", start, found), start) : found]:
            return found
        at_least = sql.find("\n", found)
        if at_least < 0:
            break
    return len(sql)
