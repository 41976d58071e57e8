"""Scans texts piece by piece, because the tokens of a large text would not fit into memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import postgast
from postgast import pg_query_pb2 as pb

# Regular expressions of tokens that can be recognized without the scanner.
BLANK = r"[ \t\n\r\f\v]"
LITERAL = r"'(?:[^']++|'')*+'"
QUOTED = r'"(?:[^"]++|"")++"'
NUMBER = r"[0-9]++(?:\.[0-9]++)?+"
OPERATOR_CHARACTERS = r"-+*/<>=~!@#%^&|"

_PIECE = 100_000  # characters that are scanned at a time


@dataclass(frozen=True, slots=True)
class Token:
    """A token or comment: its kind in libpg_query, and its position in bytes of UTF-8."""

    token: int
    start: int
    end: int


def scanned(text: str) -> Iterator[Token]:
    """Yield the tokens and comments of a text.

    Raises postgast.PgQueryError if it cannot be scanned, for example because a quote never ends.
    """
    start = byte = 0
    while start < len(text):
        piece, found = scanned_piece(text, start, _PIECE)
        for token in found:
            yield Token(token.token, byte + token.start, byte + token.end)
        start, byte = start + len(piece), byte + len(piece.encode())


def last_token(text: str) -> int | None:
    """Return the kind of a text's last token or comment; None if it has none.

    Raises what `scanned` raises.
    """
    start, last = 0, None
    while start < len(text):
        piece, found = scanned_piece(text, start, _PIECE)
        start, last = start + len(piece), found[-1].token if found else last
    return last


def scanned_piece(text: str, start: int, size: int) -> tuple[str, Sequence[Any]]:
    """Return about `size` characters of a text, from the start of a token on, and their tokens.

    The piece ends after a comma, or with the text. If it can be scanned alone, that comma is a
    token: after one inside a literal, a name or a block comment, the piece would be incomplete. In
    that case a longer piece is tried; its length is doubled each time. Raises what `scanned`
    raises.
    """
    while True:
        end = _end_of_piece(text, start, start + size)
        piece = text[start:end]
        try:
            return piece, postgast.scan(piece).tokens
        except postgast.PgQueryError:
            if end == len(text):
                raise
            size *= 2


def _end_of_piece(text: str, start: int, at_least: int) -> int:
    """Return the offset after a comma that `--` cannot have commented out, or the end."""
    while found := text.find(",", at_least) + 1:
        if "--" not in text[max(text.rfind("\n", start, found), start) : found]:
            return found
        at_least = text.find("\n", found)
        if at_least < 0:
            break
    return len(text)


COMMENTS = (pb.SQL_COMMENT, pb.C_COMMENT)


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of a text without its comments, with offsets in bytes of UTF-8.

    Raises postgast.PgQueryError if the text cannot be scanned, such as for a quote that never ends.
    """
    return (token for token in scanned(text) if token.token not in COMMENTS)
