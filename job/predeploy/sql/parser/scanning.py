"""Takes texts apart into tokens, piece by piece: those of a large text would fill the memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import postgast

_PIECE = 100_000  # characters that are scanned at once


@dataclass(frozen=True, slots=True)
class Token:
    """A token, or a comment: its kind in libpg_query, and its place in bytes of UTF-8."""

    token: int
    start: int
    end: int


def scanned(text: str) -> Iterator[Token]:
    """Yield the tokens and comments of a text.

    Raises postgast.PgQueryError where it cannot be taken apart, such as a quote that never ends.
    A piece ends behind a comma. Where it can be taken apart by itself, that comma is a token:
    behind one in a literal, a name or a block comment it would be unfinished.
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
    """Return the place behind a comma that no `--` may have made a comment, or the end."""
    while found := text.find(",", at_least) + 1:
        if "--" not in text[max(text.rfind("\n", start, found), start) : found]:
            return found
        at_least = text.find("\n", found)
        if at_least < 0:
            break
    return len(text)
