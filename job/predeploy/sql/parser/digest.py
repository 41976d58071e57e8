"""What makes two texts the same step: their tokens."""

import hashlib
import re
from collections.abc import Iterable, Iterator

from predeploy.contract.plan import Statement
from predeploy.sql.parser.parsing import COMMENTS
from predeploy.sql.parser.scanning import scanned_piece

_PART_OF_LITERAL = re.compile(rb"'(?:[^']|'')*'|[^'\s]+")
_PART_OF_ESCAPED = re.compile(rb"'(?:[^'\\]|\\.|'')*'|[^'\s]+", re.DOTALL)
# Tokens that need no scanner, because what follows cannot make another of them.
_BLANK = r"[ \t\n\r\f\v]"
_NO_MORE = r"(?![\w$]|[^\x00-\x7f])"
_SIGN = r"[-+*/<>=~!@#%^&|]"
_NO_SIGN = r"(?![-+*/<>=~!@#%^&|`?])"
_LITERAL = r"'(?:[^']++|'')*+'"
_QUOTED = r'"(?:[^"]++|"")++"'
_TOKEN = (
    rf"[(),;\[\]]|[0-9]++(?:\.[0-9]++)?+(?!\.){_NO_MORE}|{_LITERAL}(?!{_BLANK}*+(?:'|--))"
    rf"|[A-Za-z_][A-Za-z_0-9]*+(?!['&]){_NO_MORE}|{_QUOTED}"
    r'|::(?=[A-Za-z_"])|\.(?=[A-Za-z_"])'
    rf"|(?:(?!--|/\*){_SIGN})++{_NO_SIGN}(?<![-+])|[-+]{_NO_SIGN}"
)
# The same, where it is known that what follows makes no other of them.
_TOKENS = re.compile(
    rf"[(),;.\[\]]|[0-9]++(?:\.[0-9]++)?+|{_LITERAL}|[A-Za-z_][A-Za-z_0-9]*+|{_QUOTED}|::|{_SIGN}++"
)
_RUN = re.compile(rf"(?:{_TOKEN}|{_BLANK}++){{1,20000}}+", re.ASCII)
_FEW = 500  # characters that the scanner takes apart where a token needs it


def digest(statements: Iterable[Statement]) -> str:
    """Return the SHA-256 of the statements' tokens; comments, blanks, line ends don't count."""
    sha = hashlib.sha256()
    for statement in statements:
        for found in _token_texts(statement.text.replace("\r\n", "\n")):
            sha.update(found)
        sha.update((statement.data or "").replace("\r\n", "\n").encode() + b";")
    return sha.hexdigest()


def _token_texts(text: str) -> Iterator[bytes]:
    """Yield the text's tokens in order, each with a NUL byte behind it, some of them together."""
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
    """Fold what stands between the parts of one literal, 'a' and on another line 'b'."""
    if not token.endswith(b"'") or b"\n" not in token:
        return token
    parts = _PART_OF_ESCAPED if token[:1] in b"eE" else _PART_OF_LITERAL
    return b"\n".join(parts.findall(token))
