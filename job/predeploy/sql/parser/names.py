"""Names in SQL text."""

from typing import Any

from predeploy.contract.quoting import identifier


def relation_sql(range_var: Any) -> str:
    """Return a relation's name as the statement gives it, with or without schema, quoted."""
    parts = (range_var.schemaname, range_var.relname)
    return identifier(*(str(part) for part in parts if part))
