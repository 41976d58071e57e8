"""The critical tables of `predeploy.toml`, as the search_path resolves them."""

from collections.abc import Iterable
from dataclasses import replace

from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.settings.declaration import CriticalTable
from predeploy.snapshot import Snapshot

RELATIONS = frozenset(kind.value for kind in (Kind.TABLE, Kind.VIEW, Kind.MATERIALIZED_VIEW))


def missing_tables(critical: Iterable[CriticalTable], snapshot: Snapshot) -> tuple[str, ...]:
    """Return the names of the critical tables that do not exist."""
    there = relations_of(snapshot.facts)
    return tuple(table.name for table in resolved(critical, snapshot) if table.name not in there)


def resolved(critical: Iterable[CriticalTable], snapshot: Snapshot) -> tuple[CriticalTable, ...]:
    """Resolve the schema of each table as PostgreSQL would.

    That is the first schema of the search_path that has the table; if none has it, the schema in
    which it would be created.
    """
    schemas, there = snapshot.search_path.schemas, relations_of(snapshot.facts)

    def schema_of(name: str) -> str:
        made_in = next(iter(schemas), "")
        return next((schema for schema in schemas if f"{schema}.{name}" in there), made_in)

    return tuple(replace(t, schema=t.schema or schema_of(t.table)) for t in critical)


def relations_of(facts: Iterable[Fact]) -> frozenset[str]:
    """Return the names of the relations among facts, as `schema.name`."""
    return frozenset(fact.identity for fact in facts if fact.kind in RELATIONS)
