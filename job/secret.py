"""A text that must not be printed: a password, a hash."""


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
