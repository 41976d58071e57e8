"""Reads the columns and expressions of an index or key from what PostgreSQL prints."""

import re
from collections.abc import Iterator

# Each character of a quoted text or name counts as an ordinary one.
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
NAME = r'(?:[^\W\d][\w$]*|"(?:[^"]|"")+")'
"""A regular expression of a name, quoted or not."""
_NAMED = re.compile(rf"{NAME}(?:\.{NAME})*")
_COLLATED = re.compile(rf" COLLATE {NAME}(?:\.{NAME})?")


def elements(definition: str, *, whole: bool = False) -> tuple[tuple[str, ...], str]:
    """Return the elements of a definition such as `USING btree (lower(a), b DESC) WHERE c`.

    Each column or expression is returned as a query can use it, with its collation; its ordering is
    left out unless `whole` is set. The second value is the text after the list.
    """
    start = _opening(definition)
    end = _closing(definition, start) if start >= 0 else -1
    if end < 0:
        return (), ""
    parts = _split(definition[start + 1 : end])
    found = tuple(part if whole else _expression(part) for part in parts)
    return found, definition[end + 1 :]


def _opening(text: str) -> int:
    blanked = _blanked(text)
    return blanked.find("(")


def _blanked(text: str) -> str:
    return _QUOTED.sub(lambda quoted: "_" * len(quoted[0]), text)


def _closing(text: str, start: int) -> int:
    """Return the offset of the parenthesis that closes the one at `start`; -1 if none does."""
    depth = 0
    for place, character in enumerate(_blanked(text)[start:], start):
        depth += (character == "(") - (character == ")")
        if not depth:
            return place
    return -1


def _split(text: str) -> Iterator[str]:
    """Yield the parts separated by commas outside parentheses."""
    depth, begun = 0, 0
    for place, character in enumerate(_blanked(text)):
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            yield text[begun:place].strip()
            begun = place + 1
    yield text[begun:].strip()


def _expression(element: str) -> str:
    named = _NAMED.match(element)
    end = named.end() if named else 0
    if element[end : end + 1] == "(":  # a call, or an expression
        end = _closing(element, end) + 1
    collated = _COLLATED.match(element, end)
    return element[: collated.end() if collated else end]
