"""Positions in a text: libpg_query counts bytes of UTF-8, everything else counts characters."""

_PIECE = 100_000  # characters that are encoded at a time, to save memory


class Offsets:
    """Converts byte offsets, given in ascending order, into character offsets and lines."""

    def __init__(self, text: str = "") -> None:
        """Start at the beginning of the text."""
        self._text, self._read = text, 0
        self._bytes, self._before = b"", 0
        self._byte = self._char = 0
        self._line, self._line_start = 1, 0

    def append(self, text: str) -> None:
        """Continue with the next text, whose bytes are counted from 0.

        Characters and lines are still counted from the start of the first text.
        """
        self.end()
        self._text, self._read = text, 0
        self._bytes, self._before, self._byte = b"", 0, 0

    def end(self) -> int:
        """Return how many characters there are up to the end of the text."""
        while self._next():
            pass
        return self._char

    def char(self, byte: int) -> int:
        """Return how many characters precede a byte.

        Calls must be in ascending order: `byte` may not be smaller than in the call before.
        """
        while byte > self._before + len(self._bytes) and self._next():
            pass
        self._pass(byte - self._before)
        return self._char

    def place(self, byte: int) -> tuple[int, int, int]:
        """Return the character offset, and line and column from 1."""
        char = self.char(byte)
        return char, self._line, char - self._line_start + 1

    def _next(self) -> bool:
        """Move to the next piece of the text; return whether there was one."""
        self._pass(len(self._bytes))
        self._before += len(self._bytes)
        piece = self._text[self._read : self._read + _PIECE]
        self._bytes, self._byte = piece.encode(), 0
        self._read += len(piece)
        return bool(piece)

    def _pass(self, end: int) -> None:
        passed = self._bytes[self._byte : end].decode(errors="replace")
        start = self._char
        self._byte, self._char = end, start + len(passed)
        newlines = passed.count("\n")
        if newlines:
            self._line += newlines
            self._line_start = start + passed.rindex("\n") + 1
