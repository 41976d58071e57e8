"""Parts: the indexes and constraints of partitions that belong to one of the parent table.

They are facts only if a file names them. Creating the parent's index or constraint also creates its
parts, under names that PostgreSQL generates. If a partition already has an equal one, PostgreSQL
uses that one instead. So named parts are created before the parent's index or constraint, or before
their table is attached as a partition.
https://www.postgresql.org/docs/current/ddl-partitioning.html
"""

from collections.abc import Iterator
from dataclasses import replace

from predeploy.schema.ddl import Outcome, drift
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.indexes import index_ddl
from predeploy.schema.kinds.indexes.index_ddl import add_key, create_sql, twin
from predeploy.schema.schema_pair import SchemaPair
from predeploy.schema.written import named_as


def plan(desired: Fact, live: Fact | None, pair: SchemaPair) -> Outcome:
    """Report a live part that belongs to another parent, if the declared parent exists.

    Otherwise set the replica identity of its table, if that is declared to use it.
    """
    if live is not None and not is_twin(desired, live) and is_there(_root(desired, pair), pair):
        of = ".".join(live.listed("of"))
        yield drift(
            desired,
            live,
            "part-of-another",
            f"it is a part of {of}, {live.get('definition')}",
            "give it another name in a migration; the next run then tells which one is meant",
            names=("of", "definition"),
        )
    else:
        yield from index_ddl.identifying(desired, live)


def is_twin(desired: Fact, live: Fact) -> bool:
    """Whether they are the same except for their names and the names of what they are parts of."""
    is_same = index_ddl.is_twin(desired, live)
    return is_same and desired.listed("of")[:2] == live.listed("of")[:2]


def create_statements(whole: Fact, pair: SchemaPair, how: str = "") -> tuple[str, ...]:
    """Return the statements that create the named parts before their index or constraint.

    The partitions exist when these run. `how` is appended to each statement.
    """
    return tuple(_create_statements(whole, pair, how))


def missing_on(table: Fact, pair: SchemaPair) -> Iterator[tuple[Fact, Fact]]:
    """Yield the declared parts that a table does not have yet, in the order of their creation.

    Each comes with its root: the index or constraint of the outermost partitioned table.
    """
    place = (table.schema, table.relation)
    parts = pair.desired.on(place, Kind.PARTITION_INDEX, Kind.PARTITION_CONSTRAINT)
    for part in sorted(parts, key=lambda part: part.order):
        if not _has_own(part, table, pair):
            yield part, _root(part, pair)


def is_there(root: Fact, pair: SchemaPair) -> bool:
    """Whether the outermost table's index or constraint exists as it is declared."""
    live = pair.live.facts.get(root.key)
    return root.key in pair.renamed.facts or (live is not None and index_ddl.is_twin(root, live))


def create_part_sql(part: Fact) -> str:
    """Return the statement that creates a part before it is attached to its parent."""
    is_index = part.kind == Kind.PARTITION_INDEX.value
    return create_sql(part, part.name) if is_index else add_key(part)


def _root(part: Fact, pair: SchemaPair) -> Fact:
    whole = pair.desired.whole_of(part)
    return part if whole is None else _root(whole, pair)


def _create_statements(whole: Fact, pair: SchemaPair, how: str) -> Iterator[str]:
    for part in sorted(pair.desired.parts_of(whole), key=lambda part: part.order):
        place = (Kind.TABLE, part.schema, part.relation)
        table = pair.live.get(*place) or pair.desired.get(*place)
        if table is not None and not _has_own(part, table, pair):
            yield from _create_statements(part, pair, how)
            yield f"{create_part_sql(part)}{how}"


def _has_own(part: Fact, table: Fact, pair: SchemaPair) -> bool:
    """Whether the table has an equal index or constraint that is not yet a part of another."""
    return twin(replace(part, kind=named_as(part)[0]), table, pair) is not None
