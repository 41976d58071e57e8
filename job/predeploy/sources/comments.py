"""SQL comments as a regular expression, for what needs no parser."""

# PostgreSQL's comments nest without limit, which a regular expression cannot match: four levels do.
_DEPTH = 4


def _comment(depth: int) -> str:
    inner = f"|{_comment(depth - 1)}" if depth else ""
    return rf"/\*(?:[^*/]|\*(?!/)|/(?!\*){inner})*\*/"


COMMENT = rf"--[^\r\n]*|{_comment(_DEPTH)}"
"""A regular expression that matches one SQL comment."""
