"""Searches for words in texts that may be large."""

import re
from collections.abc import Iterable

_WORD = re.compile(r"[\w$]+")
_PIECE = 1 << 17  # characters that are copied at a time


def mentions(text: str, word: str) -> bool:
    """Whether a text contains a word, in any case, even inside another word.

    `word` must be in lower case.
    """
    places = range(0, len(text), _PIECE)
    return any(word in text[at : at + _PIECE + len(word)].lower() for at in places)


def named(texts: Iterable[str], names: Iterable[str]) -> frozenset[str]:
    """Return the names whose words all occur somewhere in the texts, in any case."""
    words = {name: frozenset(_WORD.findall(name.lower())) for name in names}
    wanted = frozenset[str]().union(*words.values())
    said = (match[0].lower() for text in texts for match in _WORD.finditer(text))
    found = frozenset(word for word in said if word in wanted)
    return frozenset(name for name, parts in words.items() if parts <= found)
