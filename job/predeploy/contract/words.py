"""Words in texts that may be large."""

_PIECE = 1 << 20  # characters of which a copy is made at once


def mentions(text: str, word: str) -> bool:
    """Whether a text has a word, given in lower case, in any case, also inside of another."""
    places = range(0, len(text), _PIECE)
    return any(word in text[at : at + _PIECE + len(word)].lower() for at in places)
