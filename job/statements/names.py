"""Names in SQL text."""

import re
from typing import Any

import postgast

_BARE = re.compile("[a-z_][a-z0-9_]*")
_NEEDS_NO_QUOTES = (0, 1)  # no keyword, or an unreserved one


def quoted(*parts: str) -> str:
    """Quote the parts of a name and join them by dots."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def relation_sql(range_var: Any) -> str:
    """Name a relation as the statement does, with or without its schema, quoted."""
    return quoted(*(part for part in (range_var.schemaname, range_var.relname) if part))


def is_quoted_alike(name: str) -> bool:
    """Whether PostgreSQL quotes a name both with and without a prefix of letters, or neither."""
    if not re.fullmatch("[a-z0-9_]+", name):
        return True
    if not _BARE.fullmatch(name):
        return False
    (token,) = postgast.scan(name).tokens
    return token.keyword_kind in _NEEDS_NO_QUOTES
