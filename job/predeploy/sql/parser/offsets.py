"""Positions in a text: libpg_query counts bytes of UTF-8, everything else counts characters."""


class Offsets:
    """Converts byte offsets, given in ascending order, into character offsets and lines."""

    def __init__(self, text: str = "") -> None:
        """Begin at the start of the text."""
        self._bytes = text.encode()
        self._byte = self._char = 0
        self._line, self._line_start = 1, 0

    def go_on(self, text: str) -> None:
        """Continue with the text that follows; byte offsets start again at 0."""
        self.char(len(self._bytes))
        self._bytes, self._byte = text.encode(), 0

    def char(self, byte: int) -> int:
        """Return the character offset of a byte, which must not precede the last one asked for."""
        passed = self._bytes[self._byte : byte].decode(errors="replace")
        start = self._char
        self._byte, self._char = byte, start + len(passed)
        newlines = passed.count("\n")
        if newlines:
            self._line += newlines
            self._line_start = start + passed.rindex("\n") + 1
        return self._char

    def place(self, byte: int) -> tuple[int, int, int]:
        """Return the character offset, and line and column from 1."""
        char = self.char(byte)
        return char, self._line, char - self._line_start + 1
