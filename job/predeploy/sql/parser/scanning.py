"""Scans texts piece by piece: the tokens of a large one would fill the memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

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

    Raises postgast.PgQueryError where it cannot be taken apart, such as a quote that never ends.
    """
    start = byte = 0
    while start < len(text):
        piece, found = scanned_piece(text, start, _PIECE)
        for token in found:
            yield Token(token.token, byte + token.start, byte + token.end)
        start, byte = start + len(piece), byte + len(piece.encode())


def last_token(text: str) -> int | None:
    """Return the kind of a text's last token or comment; None where it has none.

    Raises what `scanned` raises.
    """
    start, last = 0, None
    while start < len(text):
        piece, found = scanned_piece(text, start, _PIECE)
        start, last = start + len(piece), found[-1].token if found else last
    return last


def scanned_piece(text: str, start: int, size: int) -> tuple[str, Sequence[Any]]:
    """Return about so many characters of a text, from a token's start on, and their tokens.

    The piece ends behind a comma, or with the text. Where it can be taken apart by itself, that
    comma is a token: behind one in a literal, a name or a block comment it would be unfinished.
    Then more is tried, twice as much each time. Raises what `scanned` raises.
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
