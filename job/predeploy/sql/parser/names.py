"""Names in SQL text."""

from typing import Any

from predeploy.contract.quoting import identifier


def relation_sql(range_var: Any) -> str:
    """Name a relation as the statement does, with or without its schema, quoted."""
    parts = (range_var.schemaname, range_var.relname)
    return identifier(*(str(part) for part in parts if part))
