"""Parses a script in parts: the tree of a large one would fill the memory."""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import postgast
from postgast import pg_query_pb2 as pb

from predeploy.sql.parser.constants import rows_behind_the_first
from predeploy.sql.parser.parsing import TooDeepError, parse

_PART = 40_000  # characters that are parsed at once
_MOST_SCANS = 20  # of texts whose last line contains `--`, before a longer part is tried
_SEMICOLON = re.compile(";")
_END_OF_LINE = re.compile(r";(?=[ \t]*\r?\n)")
_INSERT_AHEAD = re.compile(r";(?=(?:[ \t\n\r\f\v]|--[^\n]*\n)*+insert\b)", re.IGNORECASE)


class GaveUpError(Exception):
    """The parser's complaint, and the character offset at which it was raised."""

    def __init__(self, complaint: str, offset: int) -> None:
        """Keep both."""
        super().__init__(complaint)
        self.complaint = complaint
        self.offset = offset


def parts(sql: str) -> Iterator[tuple[str, Any]]:
    """Yield the text in parts, each with its tree: that of a large text would fill the memory.

    A part ends with a semicolon. If the parser accepts the part, that semicolon separates
    statements: after one inside a literal, a block comment, parentheses or BEGIN ATOMIC, the text
    would be incomplete. In that case a part twice as long is tried, so the total stays linear. An
    INSERT of many constants starts a part, so that the parser can be spared them. Raises
    GaveUpError if the text cannot be parsed.
    """
    start, size = 0, _PART
    while start < len(sql) or not start:
        _, rows_end = rows_behind_the_first(sql, start)
        end = _end_of_part(sql, start, max(start + size, rows_end))
        # The first end that was tried may lie within a literal of such an INSERT.
        is_long = end - start > 2 * _PART if size == _PART else size == 2 * _PART
        if is_long and (ahead := _before_rows(sql, start)):
            with suppress(postgast.PgQueryError):
                yield sql[start:ahead], parse(sql[start:ahead])
                start, size = ahead, _PART
                continue
        part = sql[start:end]
        try:
            parsed = parse(part)
        except postgast.PgQueryError as error:
            # More text does not make it less deep.
            if end == len(sql) or isinstance(error, TooDeepError):
                offset = start + max(error.cursorpos - 1, 0)
                raise GaveUpError(error.message, offset) from None
            size *= 2
            continue
        yield part, parsed
        if end == len(sql):
            return
        start, size = end, _PART


def _before_rows(sql: str, start: int) -> int:
    """Return the offset of a long constant INSERT, after the semicolon before it; 0 if none."""
    for found in _INSERT_AHEAD.finditer(sql, start, start + _PART):
        rows_start, rows_end = rows_behind_the_first(sql, found.start() + 1)
        line = sql[max(sql.rfind("\n", start, found.end()), start) : found.start()]
        if rows_end - rows_start > _PART and "--" not in line:
            return found.start() + 1
    return 0


def _end_of_part(sql: str, start: int, at_least: int) -> int:
    """Return the offset after a semicolon that `--` cannot have commented out, or the end.

    Prefers a semicolon at the end of a line: it is seldom inside a literal.
    """
    tries = _MOST_SCANS
    for pattern, furthest in ((_END_OF_LINE, at_least + _PART), (_SEMICOLON, len(sql))):
        at = at_least
        while found := pattern.search(sql, at, furthest):
            end = found.start() + 1
            line = sql[max(sql.rfind("\n", start, end), start) : end].lstrip()
            if "--" not in line:
                return end
            tries -= 1
            if tries >= 0 and not line.startswith("--") and _ends_with_semicolon(sql[start:end]):
                return end
            at = sql.find("\n", end)
            if at < 0:
                break
    return len(sql)


def _ends_with_semicolon(text: str) -> bool:
    """Whether a text ends with a semicolon that is not part of a comment or literal."""
    try:
        return bool(postgast.scan(text).tokens[-1].token == pb.ASCII_59)
    except postgast.PgQueryError:
        return False
