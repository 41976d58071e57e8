"""A text that must not be printed: a password, a hash."""

from collections.abc import Iterable, Mapping
from typing import Any

_HIDDEN = "***"
# Shorter secrets would blank out ordinary words; none is ever put into a text on purpose.
_SHORTEST = 6


class Secret:
    """A text that prints as `***`; not a dataclass, since asdict() would lay the text open."""

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


def redact_all(value: Any, secrets: Iterable[Secret]) -> Any:  # noqa: ANN401 - JSON
    """Redact every text in a value of JSON's kinds; what is of no such kind becomes its repr.

    Before it becomes JSON, where quoting would hide a secret from the search.
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
