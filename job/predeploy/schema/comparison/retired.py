"""Declared partitions that do not exist, of tables whose partitions are left to maintenance."""

from collections.abc import Callable, Iterable

from predeploy.schema.ddl import Report, Verdict
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.schema_pair import SchemaIndex, parents

Relation = tuple[str, str]


def without_retired(
    desired: Iterable[Fact], live: Iterable[Fact], is_left: Callable[[Relation], bool]
) -> tuple[frozenset[Fact], tuple[Report, ...]]:
    """Return the desired facts without the partitions that do not exist, and a report of each.

    `is_left` says whether the partitions of a table (schema, name) are left to maintenance. All
    facts of such a partition are left out. Partitions of a table that does not exist yet are
    kept and created with it, because that is the first deploy.
    """
    declared, there = frozenset(desired), SchemaIndex(live)
    tables = {(f.schema, f.relation): f for f in declared if f.kind == Kind.TABLE.value}
    gone = {
        name: table
        for name, table in tables.items()
        if there.get(Kind.TABLE, *name) is None and _is_below(table, tables, there, is_left)
    }
    if not gone:
        return declared, ()
    hanging = frozenset(f for f in declared if (f.schema, f.relation) in gone)
    # The fact of a comment on an index does not name the table.
    names = {(f.schema, f.name) for f in hanging}
    comments = frozenset(f for f in declared if _is_on_index(f) and f.key[1:3] in names)
    kept = declared - hanging - comments
    return kept, tuple(_report(table) for _, table in sorted(gone.items()))


def _is_on_index(fact: Fact) -> bool:
    return fact.kind == Kind.COMMENT.value and fact.name == "index"


def _is_below(
    table: Fact,
    tables: dict[Relation, Fact],
    there: SchemaIndex,
    is_left: Callable[[Relation], bool],
) -> bool:
    """Whether a table is a partition, at any depth, of an existing table that is left alone."""
    while table.get("partition of"):
        (parent,) = parents(table)
        if is_left(parent) and there.get(Kind.TABLE, *parent) is not None:
            return True
        if parent not in tables:
            return False
        table = tables[parent]
    return False


def _report(table: Fact) -> Report:
    (parent,) = parents(table)
    return Report(
        Verdict.NOTE,
        "partition-left",
        table.label,
        f"{table.label} is declared and not there; the partitions of {'.'.join(parent)} are left "
        "to their maintenance, so it is not made",
        "take it out of the schema file if it is not coming back",
        table.definition,
    )
