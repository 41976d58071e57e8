"""The index or key that one table with rows needs before it can be a partition."""

from collections.abc import Iterator

from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.indexes.index_ddl import (
    create_sql,
    index_name,
    index_of,
    is_twin,
    take_over,
)
from predeploy.schema.names import derived
from predeploy.schema.schema_pair import SchemaPair


def leaf(own: Fact, table: Fact, pair: SchemaPair) -> Iterator[str]:
    """Yield the statements that build a table's own index or key online, if it is missing."""
    there = twin(own, table, pair)
    is_built = there is not None and not there.get("invalid")
    if own.kind == Kind.INDEX.value:
        if not is_built:
            yield create_sql(own, own.name, "CONCURRENTLY IF NOT EXISTS ")
    elif there is None:
        yield from _key(own, table, pair)
    elif not is_built:
        yield f"REINDEX INDEX CONCURRENTLY {index_name(own)}"


def name_on(thing: Fact, table: Fact, pair: SchemaPair) -> str:
    """Return the name of a table's counterpart of its parent's index or key, present or future.

    The files' name for it takes precedence over a generated one.
    """
    there = twin(thing, table, pair)
    if there is not None:
        return there.name
    place = (table.schema, table.relation)
    written = (
        part.name
        for part in pair.desired.parts_of(thing)
        if (part.schema, part.relation) == place and part.key not in pair.live.facts
    )
    return next(written, derived(table.relation, thing.name))


def twin(thing: Fact, table: Fact, pair: SchemaPair) -> Fact | None:
    """Return the live table's own index or key that is the same except for the name."""
    found = pair.live.on((table.schema, table.relation), Kind(thing.kind))
    return next((fact for fact in found if is_twin(thing, fact)), None)


def _key(own: Fact, table: Fact, pair: SchemaPair) -> Iterator[str]:
    index = twin(index_of(own), table, pair)
    name = own.name if index is None else index.name
    if index is None or index.get("invalid"):
        yield create_sql(index_of(own), name, "CONCURRENTLY IF NOT EXISTS ")
    yield take_over(own, name)
