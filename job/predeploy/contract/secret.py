"""Texts that must not be printed: a password, a hash, a statement that may contain one."""

import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

_HIDDEN = "***"
# Redacting shorter secrets would blank out ordinary words; no text contains one on purpose.
_SHORTEST = 6
_PART = 12


class Secret:
    """A text that prints as `***`; not a dataclass, because asdict() would expose the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Wrap `text`."""
        self._text = text

    def reveal(self) -> str:
        """Return the text itself, for the call that needs it and nothing else."""
        return self._text

    def __repr__(self) -> str:
        """Return three asterisks, whatever the text."""
        return "***"

    def __eq__(self, other: object) -> bool:
        """Compare the texts."""
        return self._text == other._text if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        """Hash the text."""
        return hash((Secret, self._text))


def redact(text: str, secrets: Iterable[Secret]) -> str:
    """Return the text without any of the secrets, in case one got into it by mistake."""
    hidden = {secret.reveal() for secret in secrets if len(secret.reveal()) >= _SHORTEST}
    for secret in sorted(hidden, key=len, reverse=True):  # one may begin another
        text = text.replace(secret, _HIDDEN)
    return text


def redact_parts(text: str, secrets: Iterable[Secret]) -> str:
    """Redact fragments of a secret, too, which a trigger or a function may have cut.

    Only fragments of at least twelve characters; a shorter one may be an ordinary word.
    """
    known = tuple(secrets)
    wholes = [secret.reveal() for secret in known]
    parts = {w[at : at + _PART] for w in wholes for at in range(len(w) - _PART + 1)}
    starts = (at for at in range(len(text)) if text[at : at + _PART] in parts)
    hidden = {place for at in starts for place in range(at, at + _PART)}
    runs = groupby(range(len(text)), key=hidden.__contains__)
    shown = (_HIDDEN if out else "".join(text[at] for at in run) for out, run in runs)
    return redact("".join(shown), known)


def redact_all(value: Any, secrets: Iterable[Secret]) -> Any:  # noqa: ANN401 - JSON
    """Redact every text in a JSON-like value; a value of any other type becomes its repr.

    Call this before serializing: JSON's quoting would hide a secret from the search.
    """
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return redact(value, secrets)
        case Mapping():
            return {str(key): redact_all(item, secrets) for key, item in value.items()}
        case list() | tuple():
            return [redact_all(item, secrets) for item in value]
        case _:
            return redact(repr(value), secrets)


# A statement may hold a password because of its kind, a call that takes one, a word such as
# password followed by a constant, or a column of such a name that it writes. All of it by the text,
# since it may stand in a function or a block, or be of a grammar that we do not know.
_TELLING = re.compile(
    r"""\b(?:create|alter) \s+ (?:role|user|group|server|subscription) \b
    | \b(?:create|alter) \s+ foreign \s+ data \s+ wrapper \b
    | \bdblink
    | \b(?:crypt|hmac|encrypt\w*|decrypt\w*|pgp_\w+) \s* \(
    | (?:passw(?:or)?d|passphrase|passfile|pwd|secret|credential|token|api_?key|private_?key) \w* "?
      \s* (?:=>|:=|=|:|,|\bto\b|\bas\b)? \s* (?:[ex]? ' | \$\w*\$)
    | (?:password|passwd|pwd|secret|token) \s* =
    | \A \s* (?:insert|update|merge|copy) \b .*
      (?:passw(?:or)?d|passphrase|pwd|secret|credential|token|api_?key|private_?key)""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
_CONSTANT = re.compile(r"'((?:[^']|'')*)'|\$(\w*)\$(.*?)\$\2\$", re.DOTALL)
_WORD = re.compile(r"[^\s'\"=:,;()]+")


def may_hold_secret(text: str) -> bool:
    """Whether a statement, or a server message about one, may contain a password."""
    plain = " ".join(_COMMENT.sub(" ", text).split())
    return any(_TELLING.search(form) is not None for form in (plain, text))


def without_constants(text: str) -> str:
    """Return a statement without its string constants, which may come from users' rows."""
    return _CONSTANT.sub("'…'", text)


def constants_of(text: str) -> tuple[Secret, ...]:
    """Return the words in a statement's constants, which the server may quote in an error."""
    constants = (match[1] or match[3] or "" for match in _CONSTANT.finditer(text))
    return tuple(Secret(word) for constant in constants for word in _WORD.findall(constant))
