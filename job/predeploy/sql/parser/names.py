"""Names in SQL text."""

from typing import Any


def quoted(*parts: str) -> str:
    """Quote the parts of a name and join them by dots."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def relation_sql(range_var: Any) -> str:
    """Name a relation as the statement does, with or without its schema, quoted."""
    return quoted(*(part for part in (range_var.schemaname, range_var.relname) if part))
