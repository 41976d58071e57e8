"""`SET LOCAL row_security = on;` in a file: policies may filter its rows. Needs no parser.

Everything else runs with `row_security = off`, so that PostgreSQL refuses what a policy would
filter: a backfill, a check or a seed that sees only part of its table fails with an error.
https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-ROW-SECURITY
"""

import re

from predeploy.contract.plan import Finding
from predeploy.sources.comments import COMMENT

LET_IT_FILTER = "SET LOCAL row_security = on"
"""The statement in a file whose rows policies may filter, and the one that is sent for it."""
DO_NOT = "SET LOCAL row_security = off"
"""The statement that makes filtering an error again."""

_ON = r"'?(?:on|true|yes|1)\b'?"
_SET = rf"\bset\s+(?:(?:local|session)\s+)?row_security\s*(?:=|to\s)\s*{_ON}"
_SAYS_SO = re.compile(rf"{_SET}|\bset_config\s*\(\s*'row_security'\s*,\s*{_ON}", re.IGNORECASE)
# Possessive, so that nothing is found inside a comment.
_LEADING = re.compile(rf"((?:\s|{COMMENT})*+)({_SET}\s*;)", re.IGNORECASE | re.DOTALL)


def apart(text: str) -> tuple[bool, str]:
    """Say whether a check or a seed begins so, and return it without that, at the same offsets."""
    leading = _LEADING.match(text)
    if leading is None:
        return False, text
    return True, leading[1] + " " * len(leading[2]) + text[leading.end() :]


def says_so(text: str) -> bool:
    """Whether a statement lets row-level security filter what comes after it."""
    return "row_security" in text.lower() and _SAYS_SO.search(text) is not None


def told(path: str) -> Finding:
    """Return the note about such a file."""
    return Finding(
        "row-security-on",
        f"{path}: `{LET_IT_FILTER}`: what follows sees and changes only the rows that row-level "
        "security shows to this role",
        is_note=True,
    )
