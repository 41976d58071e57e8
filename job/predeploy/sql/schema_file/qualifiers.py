"""Prefixes the schema of certain qualified names, token by token.

Applies only where the scanner sees a schema, a dot and the name; never inside literals, comments or
function bodies.
"""

from collections.abc import Set as AbstractSet

import postgast
from postgast import pg_query_pb2 as pb

from predeploy.sql.parser.names import Name
from predeploy.sql.parser.scanning import COMMENTS

_DOT = pb.ASCII_46


def qualify(text: str, names: AbstractSet[Name], prefix: str) -> str:
    """Return the text with `prefix` before the schema of every qualified name in `names`."""
    if not any(schema in text for schema in {schema for schema, _ in names}):
        return text
    raw = text.encode()
    tokens = [t for t in postgast.scan(text).tokens if t.token not in COMMENTS]
    words = [raw[t.start : t.end].decode() for t in tokens]
    pieces, done = [], 0
    for i in range(len(tokens) - 2):
        # In `a.b.c` only `a` is looked at: `b` is not a schema there.
        is_first = not (i and tokens[i - 1].token == _DOT)
        if not is_first or tokens[i + 1].token != _DOT:
            continue
        if (_folded(words[i]), _folded(words[i + 2])) in names:
            start = tokens[i].start + words[i].startswith('"')
            pieces.append(raw[done:start].decode())
            done = start
    return prefix.join((*pieces, raw[done:].decode()))


def _folded(word: str) -> str:
    """Return the identifier that a token stands for."""
    return word[1:-1].replace('""', '"') if word.startswith('"') else word.lower()
