"""Characters that look like a blank or a quote but that PostgreSQL reads as letters."""

import re

import postgast

from predeploy.sql.parser.offsets import Offsets
from predeploy.sql.parser.scanning import tokens

_NAMES = {
    "\u00a0": "no-break space",
    "\u00ad": "soft hyphen",
    "\u2007": "figure space",
    "\u2009": "thin space",
    "\u200b": "zero-width space",
    "\u200c": "zero-width non-joiner",
    "\u200d": "zero-width joiner",
    "\u2018": "curly quote",
    "\u2019": "curly quote",
    "\u201c": "curly quote",
    "\u201d": "curly quote",
    "\u2028": "line separator",
    "\u202f": "narrow no-break space",
    "\u2060": "word joiner",
    "\u3000": "ideographic space",
    "\ufeff": "byte order mark",
}
_ODD = re.compile(f"[{''.join(_NAMES)}]")
_QUOTED = re.compile(r"""(?:[ebxn]|u&)?['"]|--|/\*|\$""", re.IGNORECASE)


def odd_characters(text: str, line: int = 1, column: int = 1) -> str:
    """Return where the first odd character outside quotes and comments is, and what to do about it.

    `line` and `column` are the position of the text's first character. Returns an empty string if
    there is none.
    """
    at = _first(text) if _ODD.search(text) else None
    if at is None:
        return ""
    before = text[:at]
    newlines = before.count("\n")
    place = at - before.rfind("\n") if newlines else column + at
    character = text[at]
    wanted = "a plain quote" if "quote" in _NAMES[character] else "a plain blank, or nothing,"
    return (
        f"line {line + newlines}, column {place} holds a {_NAMES[character]} "
        f"(U+{ord(character):04X}), which PostgreSQL reads as a letter: write {wanted} in its place"
    )


def _first(text: str) -> int | None:
    try:
        found = tokens(text)
    except postgast.PgQueryError:
        match = _ODD.search(text)
        return match.start() if match else None
    raw, offsets = text.encode(), Offsets(text)
    for token in found:
        word = raw[token.start : token.end].decode()
        odd = _ODD.search(word)
        if odd and not _QUOTED.match(word):
            start, _, _ = offsets.place(token.start)
            return start + odd.start()
    return None
