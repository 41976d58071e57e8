"""The identity of a step: a hash of its tokens."""

import hashlib
import re
from collections.abc import Iterable, Iterator

from predeploy.contract.statement import Statement
from predeploy.sql.parser.parsing import tokens

_PART_OF_LITERAL = re.compile(rb"'(?:[^']|'')*'|[^'\s]+")
_PART_OF_ESCAPED = re.compile(rb"'(?:[^'\\]|\\.|'')*'|[^'\s]+", re.DOTALL)
# Tokens that need no scanner, because what follows cannot turn them into other tokens.
_BLANK = r"[ \t\n\r\f\v]"
_NO_MORE = r"(?![\w$]|[^\x00-\x7f])"
_TOKEN = (
    rf"[A-Za-z_][A-Za-z_0-9]*+(?!['&]){_NO_MORE}|\d++(?:\.\d++)?+(?!\.){_NO_MORE}"
    rf"|'(?:[^']|'')*+'(?!{_BLANK}*+(?:'|--))|\"(?:[^\"]|\"\")++\"|[(),;]"
    r"|::(?=[A-Za-z_\"])|\.(?=[A-Za-z_\"])|-(?=\d)|=(?=[ \n\w'(])"
)
# The same tokens, once it is known that what follows cannot change them.
_TOKENS = re.compile(
    r"[A-Za-z_][A-Za-z_0-9]*+|[0-9]++(?:\.[0-9]++)?+|'(?:[^']|'')*+'|\"(?:[^\"]|\"\")++\"|::|[(),;.=-]"
)
_RUN = re.compile(rf"(?:{_BLANK}++|{_TOKEN}){{1,20000}}+", re.ASCII)


def digest(statements: Iterable[Statement]) -> str:
    """Return the SHA-256 of the statements' tokens; comments and white space do not count."""
    sha = hashlib.sha256()
    for statement in statements:
        for found in _token_texts(statement.text.replace("\r\n", "\n")):
            sha.update(found)
        # The semicolon separates the statements, so that moving tokens between them changes the
        # hash.
        sha.update((statement.data or "").replace("\r\n", "\n").encode() + b";")
    return sha.hexdigest()


def _token_texts(text: str) -> Iterator[bytes]:
    """Yield the text's tokens in order, each followed by a NUL byte; several may come together."""
    start = 0
    while run := _RUN.match(text, start):
        found = _TOKENS.findall(text, start, run.end())
        yield "\0".join([*found, ""]).encode()
        start = run.end()
    rest = text[start:]
    raw = rest.encode()
    for token in tokens(rest):
        yield _joined(raw[token.start : token.end]) + b"\0"


def _joined(token: bytes) -> bytes:
    """Normalize the white space within a literal that continues on another line ('a' 'b')."""
    if not token.endswith(b"'") or b"\n" not in token:
        return token
    parts = _PART_OF_ESCAPED if token[:1] in b"eE" else _PART_OF_LITERAL
    return b"\n".join(parts.findall(token))
