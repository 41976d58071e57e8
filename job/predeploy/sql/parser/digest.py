"""The identity of a step: a hash of its tokens."""

import hashlib
import re
from collections.abc import Iterable, Iterator

from predeploy.contract.statement import Statement
from predeploy.sql.parser.scanning import (
    BLANK,
    COMMENTS,
    LITERAL,
    NUMBER,
    OPERATOR_CHARACTERS,
    QUOTED,
    scanned_piece,
)

_PART_OF_LITERAL = re.compile(rb"'(?:[^']|'')*'|[^'\s]+")
_PART_OF_ESCAPED = re.compile(rb"'(?:[^'\\]|\\.|'')*'|[^'\s]+", re.DOTALL)
# Tokens that are recognized without the scanner: what follows them cannot change their meaning.
_NO_MORE = r"(?![\w$]|[^\x00-\x7f])"
_SIGN = rf"[{OPERATOR_CHARACTERS}]"
_NO_SIGN = rf"(?![{OPERATOR_CHARACTERS}`?])"
_TOKEN = (
    rf"[(),;\[\]]|{NUMBER}(?!\.){_NO_MORE}|{LITERAL}(?!{BLANK}*+(?:'|--))"
    rf"|[A-Za-z_][A-Za-z_0-9]*+(?!['&]){_NO_MORE}|{QUOTED}"
    r'|::(?=[A-Za-z_"])|\.(?=[A-Za-z_"])'
    rf"|(?:(?!--|/\*){_SIGN})++{_NO_SIGN}(?<![-+])|[-+]{_NO_SIGN}"
)
# The same tokens without the look-ahead, for text that _RUN has matched.
_TOKENS = re.compile(
    rf"[(),;.\[\]]|{NUMBER}|{LITERAL}|[A-Za-z_][A-Za-z_0-9]*+|{QUOTED}|::|{_SIGN}++"
)
_RUN = re.compile(rf"(?:{_TOKEN}|{BLANK}++){{1,20000}}+", re.ASCII)
_FEW = 500  # characters that are passed to the scanner if a token needs it


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
    """Yield the text's tokens in order, each followed by a NUL byte; an item may hold several."""
    start = 0
    while start < len(text):
        if run := _RUN.match(text, start):
            found = _TOKENS.findall(text, start, run.end())
            yield "\0".join([*found, ""]).encode()
            start = run.end()
        else:
            piece, scanned = scanned_piece(text, start, _FEW)
            raw = piece.encode()
            for token in scanned:
                if token.token not in COMMENTS:
                    yield _joined(raw[token.start : token.end]) + b"\0"
            start += len(piece)


def _joined(token: bytes) -> bytes:
    """Normalize the white space within a literal that continues on another line ('a' 'b')."""
    if not token.endswith(b"'") or b"\n" not in token:
        return token
    parts = _PART_OF_ESCAPED if token[:1] in b"eE" else _PART_OF_LITERAL
    return b"\n".join(parts.findall(token))
