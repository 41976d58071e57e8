"""The placeholders of seeds, and the question that a seed starts with; needs no parser.

`%(name)s` of a known name stands for a value; every other `%` is text, and so is one inside a
literal or a comment.
"""

import re
from collections.abc import Mapping

from predeploy.sources.comments import COMMENT
from predeploy.sources.filtered import apart
from predeploy.sources.script import Script

SECRET = "admin_password_hash"  # noqa: S105 - the name of one
NAMES = ("admin_username", "admin_email", SECRET)

# What may hold a placeholder's spelling without meaning it comes first: E'…', '…', "…", names (for
# the $ in them), $tag$…$tag$ and comments.
_TOKEN = re.compile(
    r"[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\""
    r"|[^\W\d][\w$]*|\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$"
    rf"|{COMMENT}|%\((?P<name>{'|'.join(NAMES)})\)s|;",
    re.DOTALL,
)
_WORD = re.compile(rf"{COMMENT}|(?P<word>[^\W;]+)", re.DOTALL)


def presence_question(script: Script, literals: Mapping[str, str]) -> str | None:
    """Return the leading SELECT with a quoted literal for each name; None: nothing to ask.

    That is where the file has none, or where the file needs values and there are none. Needs no
    parser: the statement ends at the first semicolon outside literals and comments.
    """
    _, text = apart(script.text)
    needed = {m["name"] for m in _TOKEN.finditer(text) if m["name"]}
    leading = leading_select(text)
    if leading is None or (needed and not literals):
        return None
    return _TOKEN.sub(lambda m: literals.get(m["name"], m[0]) if m["name"] else m[0], leading)


def leading_select(text: str) -> str | None:
    """Return the text up to its first semicolon when it starts with SELECT."""
    word = next((m.start() for m in _WORD.finditer(text) if m["word"]), len(text))
    ends = (m.start() for m in _TOKEN.finditer(text) if m[0] == ";" and m.start() > word)
    end = next(ends, len(text))
    words = (m["word"] for m in _WORD.finditer(text[:end]) if m["word"])
    return text[:end] if next(words, "").lower() == "select" else None


def bind(text: str) -> tuple[str, tuple[str, ...]]:
    """Put $1, $2 … for the placeholders, padded to their length; return the name behind each."""
    used: list[str] = []

    def put(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return match[0]
        if name not in used:
            used.append(name)
        return f"${used.index(name) + 1}".rjust(len(match[0]))

    return _TOKEN.sub(put, text), tuple(used)
