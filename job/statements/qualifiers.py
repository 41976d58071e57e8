"""Points the qualifiers of some names at a renamed schema, token by token.

Only where the scanner sees a schema, a dot and the name: never inside literals, comments or bodies.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import postgast
from postgast import pg_query_pb2 as pb

from job.statements.targets import Name

_COMMENTS = (pb.SQL_COMMENT, pb.C_COMMENT)
_DOT = pb.ASCII_46


@dataclass(frozen=True, slots=True)
class Qualified:
    """A text in which `prefix` was put at `places`, offsets in characters of the old text."""

    text: str
    prefix: str
    places: tuple[int, ...]

    def original(self, offset: int) -> int:
        """Return the offset in the old text for one in the new."""
        for number, place in enumerate(self.places):
            if offset < place + number * len(self.prefix):
                return offset - number * len(self.prefix)
            if offset < place + (number + 1) * len(self.prefix):
                return place
        return offset - len(self.places) * len(self.prefix)


@dataclass(frozen=True, slots=True)
class Word:
    """A token that is no comment: its kind, its text, and where that begins, in bytes."""

    kind: int
    text: str
    start: int

    @property
    def folded(self) -> str:
        """The name that it is, if it is one."""
        if self.text.startswith('"'):
            return self.text[1:-1].replace('""', '"')
        return self.text.lower()

    @property
    def inner(self) -> int:
        """Where a name begins in it: behind a quote."""
        return self.start + self.text.startswith(('"', "'"))


def words_of(text: str) -> tuple[Word, ...]:
    """Return the tokens of a text that has been parsed, without comments."""
    raw = text.encode()
    return tuple(
        Word(t.token, raw[t.start : t.end].decode(), t.start)
        for t in postgast.scan(text).tokens
        if t.token not in _COMMENTS
    )


def is_dot(word: Word | None) -> bool:
    """Whether a token is there and is the dot between a schema and a name."""
    return word is not None and word.kind == _DOT


def heads(words: tuple[Word, ...]) -> tuple[int, ...]:
    """Return the places, in `words`, of those that have a dot behind and none in front of them."""
    return tuple(
        i
        for i in range(len(words) - 2)
        if is_dot(words[i + 1]) and not (i and is_dot(words[i - 1]))
    )


def qualify(text: str, names: AbstractSet[Name], prefix: str) -> Qualified:
    """Put `prefix` before the schema of every qualified name that is in `names`."""
    if not any(schema in text for schema in {schema for schema, _ in names}):
        return Qualified(text, prefix, ())
    words = words_of(text)
    found = (i for i in heads(words) if (words[i].folded, words[i + 2].folded) in names)
    return prefixed(text, prefix, (words[i].inner for i in found))


def prefixed(text: str, prefix: str, places: Iterable[int]) -> Qualified:
    """Put `prefix` at some places of a text, given in bytes."""
    raw, last = text.encode(), 0
    pieces: list[str] = []
    offsets: list[int] = []
    for place in sorted(set(places)):
        pieces.append(raw[last:place].decode())
        offsets.append(len(pieces[-1]) + (offsets[-1] if offsets else 0))
        last = place
    pieces.append(raw[last:].decode())
    return Qualified(prefix.join(pieces), prefix, tuple(offsets))
