"""Points the qualifiers of some names at a renamed schema, token by token.

Only where the scanner sees a schema, a dot and the name: never inside literals, comments or bodies.
"""

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


def qualify(text: str, names: AbstractSet[Name], prefix: str) -> Qualified:
    """Put `prefix` before the schema of every qualified name that is in `names`."""
    if not any(schema in text for schema in {schema for schema, _ in names}):
        return Qualified(text, prefix, ())
    raw = text.encode()
    tokens = [t for t in postgast.scan(text).tokens if t.token not in _COMMENTS]
    words = [raw[t.start : t.end].decode() for t in tokens]
    places = []
    for i in range(len(tokens) - 2):
        is_pair = tokens[i + 1].token == _DOT and (i == 0 or tokens[i - 1].token != _DOT)
        if is_pair and (_folded(words[i]), _folded(words[i + 2])) in names:
            start = len(raw[: tokens[i].start].decode())
            places.append(start + words[i].startswith('"'))
    pieces, last = [], 0
    for place in places:
        pieces += [text[last:place], prefix]
        last = place
    return Qualified("".join([*pieces, text[last:]]), prefix, tuple(places))


def _folded(word: str) -> str:
    return word[1:-1].replace('""', '"') if word.startswith('"') else word.lower()
