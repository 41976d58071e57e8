"""Parses a script in parts, because the tree of a large script would not fit into memory."""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import postgast
from postgast import pg_query_pb2 as pb

from predeploy.sql.parser.parsing import TooDeepError, parse
from predeploy.sql.parser.repeated_rows import Runs, repeated_rows
from predeploy.sql.parser.scanning import last_token

_PART = 40_000  # characters that are parsed at once
_MOST_SCANS = 20  # scans of text whose last line contains `--`, before a longer part is tried
_SEMICOLON = re.compile(";")
_END_OF_LINE = re.compile(r";(?=[ \t]*\r?\n)")
_INSERT_AHEAD = re.compile(r";(?=(?:[ \t\n\r\f\v]|--[^\n]*\n)*+insert\b)", re.IGNORECASE)


class ParseFailedError(Exception):
    """The parser's error message, and the character offset at which it was raised."""

    def __init__(self, complaint: str, offset: int) -> None:
        """Keep both."""
        super().__init__(complaint)
        self.complaint = complaint
        self.offset = offset


def parts(sql: str) -> Iterator[tuple[str, Any]]:
    """Yield the text in parts, each with its tree. Raises ParseFailedError.

    A part ends with a semicolon. If the parser accepts the part, that semicolon separates
    statements: after one inside a literal, a block comment, parentheses or BEGIN ATOMIC, the text
    would be incomplete. In that case a longer part is tried; its length is doubled each time, so
    that the total effort stays linear. An INSERT with many similar rows starts a new part, so that
    its repeated rows need not be parsed.
    """
    start, size = 0, _PART
    runs = repeated_rows(sql)
    while start < len(sql) or not start:
        known = runs[-1][1] if runs else start
        end = _end_of_part(sql, known, max(start + size, known))
        # The first end that was tried may have been inside a literal of such an INSERT.
        is_long = end - start > 2 * _PART if size == _PART else size == 2 * _PART
        ahead, runs_ahead = _before_rows(sql, start) if is_long else (0, ())
        if ahead:
            with suppress(postgast.PgQueryError):
                yield sql[start:ahead], parse(sql[start:ahead])
                start, size, runs = ahead, _PART, runs_ahead
                continue
        part = sql[start:end]
        try:
            parsed = parse(part, tuple((first - start, last - start) for first, last in runs))
        except postgast.PgQueryError as error:
            # More text cannot make the nesting less deep.
            if end == len(sql) or isinstance(error, TooDeepError):
                offset = start + max(error.cursorpos - 1, 0)
                raise ParseFailedError(error.message, offset) from None
            size *= 2
            continue
        yield part, parsed
        if end == len(sql):
            return
        start, size, runs = end, _PART, repeated_rows(sql, end)


def _before_rows(sql: str, start: int) -> tuple[int, Runs]:
    """Return where a long INSERT with similar rows may begin, and its runs; 0 and none otherwise.

    The place is right after the semicolon that precedes the INSERT.
    """
    for found in _INSERT_AHEAD.finditer(sql, start, start + _PART):
        runs = repeated_rows(sql, found.end())
        line = sql[max(sql.rfind("\n", start, found.end()), start) : found.start()]
        if runs and runs[-1][1] - runs[0][0] > _PART and "--" not in line:
            return found.end(), runs
    return 0, ()


def _end_of_part(sql: str, start: int, at_least: int) -> int:
    """Return the offset after a semicolon that `--` cannot have commented out, or the end.

    Prefers a semicolon at the end of a line, which is rarely inside a literal.
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
        return last_token(text) == int(pb.ASCII_59)
    except postgast.PgQueryError:
        return False
