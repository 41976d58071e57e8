"""Scans texts piece by piece: the tokens of a large one would fill the memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import postgast

_PIECE = 100_000  # characters that are scanned at once


@dataclass(frozen=True, slots=True)
class Token:
    """A token or comment: its kind in libpg_query, and its position in bytes of UTF-8."""

    token: int
    start: int
    end: int


def scanned(text: str) -> Iterator[Token]:
    """Yield the tokens and comments of a text.

    Raises postgast.PgQueryError if it cannot be scanned, such as for a quote that never ends. A
    piece ends after a comma. If the piece can be scanned, that comma is a token: after one inside a
    literal, a name or a block comment, the piece would be incomplete.
    """
    start, byte, size = 0, 0, _PIECE
    while start < len(text):
        end = _end_of_piece(text, start, start + size)
        piece = text[start:end]
        try:
            found = postgast.scan(piece).tokens
        except postgast.PgQueryError:
            if end == len(text):
                raise
            size *= 2
            continue
        for token in found:
            yield Token(token.token, byte + token.start, byte + token.end)
        start, byte, size = end, byte + len(piece.encode()), _PIECE


def _end_of_piece(text: str, start: int, at_least: int) -> int:
    """Return the offset after a comma that `--` cannot have commented out, or the end."""
    while found := text.find(",", at_least) + 1:
        if "--" not in text[max(text.rfind("\n", start, found), start) : found]:
            return found
        at_least = text.find("\n", found)
        if at_least < 0:
            break
    return len(text)
