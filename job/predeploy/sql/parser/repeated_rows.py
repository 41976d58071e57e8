"""The rows of a long INSERT that differ from one before them in constants only.

No parser has to see each of them: its tree takes a hundred bytes and more for each constant.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LONG = 20_000  # characters of an INSERT from which on its rows are worth the search
# Rows of one INSERT that differ in more than constants, and how long the pattern of one may be.
_MOST_SHAPES = 32
_LONGEST_SHAPE = 50_000
_DEEPEST = 8  # pairs of parentheses in a row
_PIECE_OF_TEXT = 1 << 20
_BLANK = r"[ \t\n\r\f\v]"
_BLANKS = rf"{_BLANK}*+"
_SPACE = rf"(?:{_BLANK}++|--[^\n]*+\n)*+"
_NAME = r'(?:"(?:[^"]|"")+"|[A-Za-z_][\w$]*)'
# A literal that another line could go on with is left to the parser.
_ENDS = rf"(?!{_BLANKS}')"
_LITERAL = rf"'(?:[^']++|'')*+'{_ENDS}"
_ESCAPED = rf"[eE]'(?:[^'\\]++|''|\\[\s\S])*+'{_ENDS}"
_NUMBER = r"[0-9]++(?:\.[0-9]++)?+(?:[eE][-+]?[0-9]++)?+(?![\w.])"
_CONSTANT = rf"(?:{_LITERAL}|[-+]?{_NUMBER}|(?i:null|true|false|default)(?![\w$]))"
_WORD = r"(?![eE]')[A-Za-z_][\w$]*+"
_SIGN = r"(?!--|/\*)[-+*/<>=~!@#%^&|?:.\[\]]"
_KINDS = {
    "blank": rf"{_BLANK}++",
    "escaped": _ESCAPED,
    "literal": _LITERAL,
    "number": _NUMBER,
    "other": rf'{_WORD}|"(?:[^"]++|"")*+"|{_SIGN}',
}
_TOKEN = "|".join(_KINDS.values())


def _nested() -> str:
    inside = f"(?:{_TOKEN}|,)*+"
    for _ in range(_DEEPEST):
        inside = rf"(?:{_TOKEN}|,|\({inside}\))*+"
    return inside


_ROW = re.compile(rf"\({_nested()}\)", re.ASCII)
_NEXT_ROW = re.compile(rf"{_BLANKS},{_SPACE}(?=\()", re.ASCII)
# A value that is a constant, maybe with a cast, as most are: others may stand in its place.
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
    rf"{_SPACE}insert{_BLANK}++into{_BLANK}++{_NAME}(?:\.{_NAME})?+{_BLANKS}(?:\([^()]*\))?+{_BLANKS}"
    rf"(?:overriding{_BLANK}++(?:system|user){_BLANK}++value{_BLANK}++)?+values{_BLANKS}(?=\()",
    re.IGNORECASE | re.ASCII,
)


Runs = tuple[tuple[int, int], ...]
"""From where to where in a text the rows of an INSERT are repeated."""


def repeated_rows(text: str, start: int = 0) -> Runs:
    """Return from where to where in a text the INSERT that begins at `start` repeats its rows.

    Empty where no INSERT begins there, or where none of its rows is like one before it.
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
    """Return the pattern of the rows that differ from this one in constants only."""
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

    `chars` and `bytes` say where rows are left out, as places in `text`, and how much that was.
    """

    text: str
    chars: tuple[tuple[int, int], ...] = ()
    bytes: tuple[tuple[int, int], ...] = ()

    def char(self, at: int) -> int:
        """Return where a character of `text` stands in the whole text."""
        return at + sum(size for place, size in self.chars if place <= at)

    def byte(self, at: int) -> int:
        """Return where a byte of `text` stands in the whole text, both as UTF-8."""
        return at + sum(size for place, size in self.bytes if place <= at)


def abridged(text: str, runs: Runs | None = None) -> Abridged:
    """Leave out the repeated rows of a long INSERT; `runs`, what `repeated_rows` said of the text.

    A short one, and any other text, stays as it is.
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
    """Return how many bytes a part of a text has, without making all of them."""
    places = range(start, end, _PIECE_OF_TEXT)
    return sum(len(text[at : min(at + _PIECE_OF_TEXT, end)].encode()) for at in places)
