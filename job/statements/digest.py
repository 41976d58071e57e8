"""What makes two texts the same step: their tokens."""

import hashlib
import re
from collections.abc import Iterable

from job.plan import Statement
from job.statements.parsing import tokens

_PART_OF_LITERAL = re.compile(rb"'(?:[^']|'')*'|[^'\s]+")
_PART_OF_ESCAPED = re.compile(rb"'(?:[^'\\]|\\.|'')*'|[^'\s]+", re.DOTALL)


def digest(statements: Iterable[Statement]) -> str:
    """Return the SHA-256 of the statements' tokens; comments, blanks, line ends don't count."""
    sha = hashlib.sha256()
    for statement in statements:
        text = statement.text.replace("\r\n", "\n")
        raw = text.encode()
        for token in tokens(text):
            sha.update(_joined(raw[token.start : token.end]) + b"\0")
        sha.update((statement.data or "").replace("\r\n", "\n").encode() + b";")
    return sha.hexdigest()


def _joined(token: bytes) -> bytes:
    """Fold what stands between the parts of one literal, 'a' and on another line 'b'."""
    if not token.endswith(b"'") or b"\n" not in token:
        return token
    parts = _PART_OF_ESCAPED if token[:1] in b"eE" else _PART_OF_LITERAL
    return b"\n".join(parts.findall(token))
