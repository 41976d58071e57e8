"""SQL comments as a regular expression, for what needs no parser."""

# Comments nest in PostgreSQL and not in a regular expression: so deep is deep enough.
_DEPTH = 4


def _comment(depth: int) -> str:
    inner = f"|{_comment(depth - 1)}" if depth else ""
    return rf"/\*(?:[^*/]|\*(?!/)|/(?!\*){inner})*\*/"


COMMENT = rf"--[^\r\n]*|{_comment(_DEPTH)}"
"""The regular expression of one comment."""
