"""Names in SQL text."""

from typing import Any

from predeploy.contract.quoting import identifier

Name = tuple[str, str]
"""A schema, empty if the text gives none, and what is in it."""
SERIALS = frozenset(("serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"))


def relation_sql(range_var: Any) -> str:
    """Return a relation's name as the statement gives it, with or without schema, quoted."""
    parts = (range_var.schemaname, range_var.relname)
    return identifier(*(str(part) for part in parts if part))


def name_of(range_var: Any) -> Name:
    """Return a relation's name as the statement gives it."""
    return (range_var.schemaname, range_var.relname)


def dotted(schema: str, name: str) -> str:
    """Return a name for people: `schema.name`, or `name` if it has no schema."""
    return f"{schema}.{name}" if schema else name
