"""Indexes and keys of partitioned tables, built partition by partition without blocking.

An empty index is created on the parent alone, then each partition's own index is built CONCURRENTLY
and attached: the parent's is valid once all are.
https://www.postgresql.org/docs/current/ddl-partitioning.html
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from predeploy.schema.ddl import relation
from predeploy.schema.entry import FOREIGN
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.indexes import attaching
from predeploy.schema.kinds.indexes.index_ddl import create_sql, index_name, named
from predeploy.schema.kinds.indexes.leaves import leaf, name_on, twin
from predeploy.schema.schema_pair import SchemaPair

PARTITIONED = "partitioned table"


@dataclass(frozen=True, slots=True)
class _Attached:
    name: str
    is_valid: bool


def built(
    thing: Fact,
    live: Fact | None,
    table: Fact,
    pair: SchemaPair,
    attached: Mapping[str, _Attached] | None = None,
) -> Iterator[str]:
    """Yield the statements that build an index or key of a partitioned table, or complete it.

    A run that died may have left the parent's empty index, and indexes attached to it, valid or
    not.
    """
    if live is None:
        yield _shell(thing)
    known = _attached_to(live) if attached is None else attached
    for child in _partitions(table, pair):
        there = known.get(child.identity)
        if (there and there.is_valid) or (live is not None and pair.is_new(child)):
            continue  # it has its own, or gets one with the parent's existing index
        name = there.name if there else name_on(thing, child, pair)
        own = replace(thing, schema=child.schema, relation=child.relation, name=name)
        if there and child.get("kind") == PARTITIONED:
            yield from built(own, own, child, pair, known)
        elif there:
            yield f"REINDEX INDEX CONCURRENTLY {index_name(own)}"
        else:
            yield from _own(own, child, pair)
        yield f"ALTER INDEX {index_name(thing)} ATTACH PARTITION {index_name(own)}"


def has_foreign(table: Fact, pair: SchemaPair) -> bool:
    """Whether a partition is a foreign table, which has no indexes."""
    found = _partitions(table, pair)
    return any(p.get("kind") == FOREIGN or has_foreign(p, pair) for p in found)


def _shell(thing: Fact) -> str:
    only = f"ONLY {relation(thing)}"
    if thing.kind == Kind.INDEX.value:
        return create_sql(thing, thing.name, "IF NOT EXISTS ", only)
    return f"ALTER TABLE {only} ADD {named(thing)}"


def _own(own: Fact, child: Fact, pair: SchemaPair) -> Iterator[str]:
    """Yield the statements that give a partition its own index or key, if it has none."""
    there = twin(own, child, pair)
    is_built = there is not None and not there.get("invalid")
    if child.get("kind") == PARTITIONED:
        if not is_built:
            yield from built(own, there, child, pair)
    else:
        yield from leaf(own, child, pair)


def _attached_to(live: Fact | None) -> Mapping[str, _Attached]:
    found = json.loads(live.get("attached") or "[]") if live is not None else []
    return {table: _Attached(name, is_valid) for table, name, is_valid in found}


def _partitions(table: Fact, pair: SchemaPair) -> tuple[Fact, ...]:
    """Return the partitions that exist when the run reaches the indexes, sorted."""
    parent = (table.schema, table.relation)
    found = {fact.key: fact for fact in pair.live.below(parent)}
    for fact in pair.desired.below(parent):
        live = pair.live.facts.get(fact.key)
        if live is None or (pair.may_alter and not attaching.obstacle(fact, live, pair)):
            found.setdefault(fact.key, live or fact)
    return tuple(fact for _, fact in sorted(found.items()) if _is_partition(fact, pair))


def _is_partition(table: Fact, pair: SchemaPair) -> bool:
    desired = pair.desired.facts.get(table.key, table)
    return bool(table.get("partition of") or desired.get("partition of"))


# What an interrupted build on partitions has completed: table, index, whether that is valid.
ATTACHED = """case when not x.indisvalid then (
    select pg_catalog.json_agg(pg_catalog.json_build_array(
        pn.nspname || '.' || p.relname, pi.relname, px.indisvalid) order by pn.nspname, p.relname)
    from pg_catalog.pg_partition_tree(i.oid) tree
    join pg_catalog.pg_class pi on pi.oid = tree.relid
    join pg_catalog.pg_index px on px.indexrelid = pi.oid
    join pg_catalog.pg_class p on p.oid = px.indrelid
    join pg_catalog.pg_namespace pn on pn.oid = p.relnamespace
    where tree.level > 0)::text end"""
