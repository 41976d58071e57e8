"""A text that must not be printed: a password, a hash."""

from collections.abc import Iterable

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
    for secret in secrets:
        if len(secret.reveal()) >= _SHORTEST:
            text = text.replace(secret.reveal(), _HIDDEN)
    return text
