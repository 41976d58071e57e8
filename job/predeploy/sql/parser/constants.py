"""Finds the constant rows of a long INSERT, which the parser can be spared.

Its tree takes at least a hundred bytes for each constant. The blanks that replace the rows keep
byte offsets and lines unchanged.
"""

import re

_LONG = 20_000  # characters; a shorter INSERT is not worth the search
# Most quantifiers are possessive (`*+`), so that a text that does not match costs no backtracking.
_BLANK = r"[ \t\n\r\f\v]"
_NAME = r'(?:"(?:[^"]|"")+"|[a-z_][\w$]*)'
# A literal that may continue on another line is left to the parser.
_LITERAL = rf"'(?:[^']|'')*+'(?!{_BLANK}*+')"
_NUMBER = r"[-+]?\d++(?:\.\d++)?(?:e[-+]?\d++)?(?![\w.])"
_CAST = rf"(?:{_BLANK}*+::{_BLANK}*+[a-z_]\w*+(?:\[\])?)"
_CONSTANT = rf"(?:{_LITERAL}|{_NUMBER}|(?:null|true|false|default)(?!\w)){_CAST}*+"
_ROW = rf"\({_BLANK}*+{_CONSTANT}{_BLANK}*+(?:,{_BLANK}*+{_CONSTANT}{_BLANK}*+)*+\)"
_FLAGS = re.IGNORECASE | re.ASCII
_COMMENT = rf"(?:{_BLANK}++|--[^\n]*+\n)*+"
_FIRST_ROW = re.compile(
    rf"{_COMMENT}insert{_BLANK}++into{_BLANK}++{_NAME}(?:\.{_NAME})?{_BLANK}*+(?:\([^()]*+\))?+"
    rf"{_BLANK}*+values{_BLANK}*+{_ROW}",
    _FLAGS,
)
_MORE_ROWS = re.compile(rf"(?:{_BLANK}*+,{_BLANK}*+{_ROW})++", _FLAGS)


def rows_behind_the_first(text: str, start: int = 0) -> tuple[int, int]:
    """Return the start and end of the further rows of the INSERT that begins at `start`.

    Both are `start` if no INSERT begins there or if its rows are not all constants.
    """
    first = _FIRST_ROW.match(text, start)
    more = _MORE_ROWS.match(text, first.end()) if first else None
    return more.span() if more else (start, start)


def abridged(text: str) -> str:
    """Return the text with the rows of a leading long INSERT blanked, except for the first row."""
    if len(text) < _LONG:
        return text
    start, end = rows_behind_the_first(text)
    if start == end:
        return text
    return text[:start] + re.sub(r"[^\n]+", _blank, text[start:end]) + text[end:]


def _blank(line: re.Match[str]) -> str:
    return " " * len(line[0].encode())
