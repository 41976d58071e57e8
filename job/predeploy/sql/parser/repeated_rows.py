"""Finds the rows of a long INSERT that differ from an earlier row in constants only.

They need not be parsed: the parser's tree takes a hundred bytes or more for each constant.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from predeploy.sql.parser.scanning import BLANK, LITERAL, NUMBER, OPERATOR_CHARACTERS, QUOTED

_LONG = 20_000  # characters; the rows of a shorter INSERT are not searched
# The most shapes of rows that one INSERT may have, and the longest pattern of a shape.
_MOST_SHAPES = 32
_LONGEST_SHAPE = 50_000
_DEEPEST = 8  # nested pairs of parentheses in a row
_PIECE_OF_TEXT = 1 << 20
_BLANKS = rf"{BLANK}*+"
_SPACE = rf"(?:{BLANK}++|--[^\n]*+\n)*+"
_NAME = rf"(?:{QUOTED}|[A-Za-z_][\w$]*)"
# A literal that may continue on another line ('a' 'b') is left to the parser.
_ENDS = rf"(?!{_BLANKS}')"
_LITERAL = rf"{LITERAL}{_ENDS}"
_ESCAPED = rf"[eE]'(?:[^'\\]++|''|\\[\s\S])*+'{_ENDS}"
_NUMBER = rf"{NUMBER}(?:[eE][-+]?[0-9]++)?+(?![\w.])"
_CONSTANT = rf"(?:{_LITERAL}|[-+]?{_NUMBER}|(?i:null|true|false|default)(?![\w$]))"
_WORD = r"(?![eE]')[A-Za-z_][\w$]*+"
_SIGN = rf"(?!--|/\*)[{OPERATOR_CHARACTERS}?:.\[\]]"
_KINDS = {
    "blank": rf"{BLANK}++",
    "escaped": _ESCAPED,
    "literal": _LITERAL,
    "number": _NUMBER,
    "other": rf"{_WORD}|{QUOTED}|{_SIGN}",
}
_TOKEN = "|".join(_KINDS.values())


def _nested() -> str:
    inside = f"(?:{_TOKEN}|,)*+"
    for _ in range(_DEEPEST):
        inside = rf"(?:{_TOKEN}|,|\({inside}\))*+"
    return inside


_ROW = re.compile(rf"\({_nested()}\)", re.ASCII)
_NEXT_ROW = re.compile(rf"{_BLANKS},{_SPACE}(?=\()", re.ASCII)
# A value that is only a constant, possibly with a cast: in other rows, any constant may replace it.
_VALUE = re.compile(
    rf"{_BLANKS}{_CONSTANT}(?P<cast>(?:{_BLANKS}::{_BLANKS}[A-Za-z_]\w*+(?:\[\])?+)*+)"
    rf"{_BLANKS}(?=[,)])",
    re.ASCII,
)
_PIECE = re.compile(
    "|".join(rf"(?P<{name}>{pattern})" for name, pattern in _KINDS.items())
    + r"|(?P<open>\()|(?P<close>\))|(?P<comma>,)",
    re.ASCII,
)
_HEAD = re.compile(
    rf"{_SPACE}insert{BLANK}++into{BLANK}++{_NAME}(?:\.{_NAME})?+{_BLANKS}(?:\([^()]*\))?+{_BLANKS}"
    rf"(?:overriding{BLANK}++(?:system|user){BLANK}++value{BLANK}++)?+values{_BLANKS}(?=\()",
    re.IGNORECASE | re.ASCII,
)


Runs = tuple[tuple[int, int], ...]
"""The ranges of a text, as start and end, in which an INSERT repeats its rows."""


def repeated_rows(text: str, start: int = 0) -> Runs:
    """Return the ranges of `text` in which the INSERT that begins at `start` repeats its rows.

    Empty if no INSERT begins there, or if none of its rows resembles an earlier one.
    """
    head = _HEAD.match(text, start)
    return tuple(_runs(text, head.end())) if head else ()


def _runs(text: str, at: int) -> Iterator[tuple[int, int]]:
    shapes: list[str] = []
    while len(shapes) < _MOST_SHAPES and (row := _ROW.match(text, at)):
        behind = _NEXT_ROW.match(text, row.end())
        shape = _shape(row[0]) if behind else ""
        if not behind or len(shape) > _LONGEST_SHAPE:
            return
        shapes.append(shape)
        like = re.compile(rf"(?:{_BLANKS},{_SPACE}(?:{'|'.join(shapes)}))++", re.ASCII)
        end = row.end()
        if more := like.match(text, end):
            yield more.span()
            end = more.end()
            behind = _NEXT_ROW.match(text, end)
        if not behind:
            return
        at = behind.end()


def _shape(row: str) -> str:
    """Return a regular expression for the rows that differ from this one in constants only."""
    found, at, depth, is_value = [], 0, 0, False
    while at < len(row):
        if is_value and (value := _VALUE.match(row, at)):
            cast = f"(?:{re.escape(value['cast'])})?+" if value["cast"] else ""
            found.append(f"{_BLANKS}{_CONSTANT}{cast}{_BLANKS}")
            at, is_value = value.end(), False
            continue
        piece = _PIECE.match(row, at)
        assert piece is not None and piece.lastgroup is not None  # noqa: S101, PT018 - it is a row
        kind = piece.lastgroup
        depth += {"open": 1, "close": -1}.get(kind, 0)
        is_value = depth == 1 and kind in ("open", "comma")
        is_any = kind in ("blank", "escaped", "literal", "number")
        found.append(_KINDS[kind] if is_any else re.escape(piece[0]))
        at = piece.end()
    return "".join(found)


@dataclass(frozen=True, slots=True)
class Abridged:
    """A text without the repeated rows of the INSERT that it begins with.

    `chars` and `bytes` list the omissions: the offset in `text`, and the length of what is left
    out, in characters and in bytes of UTF-8.
    """

    text: str
    chars: tuple[tuple[int, int], ...] = ()
    bytes: tuple[tuple[int, int], ...] = ()

    def char(self, at: int) -> int:
        """Return the offset in the whole text of a character offset in `text`."""
        return at + sum(size for place, size in self.chars if place <= at)

    def byte(self, at: int) -> int:
        """Return the offset in the whole text of a byte offset in `text`, both in UTF-8."""
        return at + sum(size for place, size in self.bytes if place <= at)


def abridged(text: str, runs: Runs | None = None) -> Abridged:
    """Leave out the repeated rows of a long INSERT; any other text is returned unchanged.

    `runs` is the result of `repeated_rows` for the text, if it is known already.
    """
    if len(text) < _LONG:
        return Abridged(text)
    kept, chars, sizes = [], [], []
    at = place = place_in_bytes = 0
    for start, end in repeated_rows(text) if runs is None else runs:
        kept.append(text[at:start])
        place += start - at
        place_in_bytes += _bytes(text, at, start)
        chars.append((place, end - start))
        sizes.append((place_in_bytes, _bytes(text, start, end)))
        at = end
    whole = "".join([*kept, text[at:]]) if kept else text
    return Abridged(whole, tuple(chars), tuple(sizes))


def _bytes(text: str, start: int, end: int) -> int:
    """Return how many bytes a part of a text has, without encoding all of it at once."""
    places = range(start, end, _PIECE_OF_TEXT)
    return sum(len(text[at : min(at + _PIECE_OF_TEXT, end)].encode()) for at in places)
