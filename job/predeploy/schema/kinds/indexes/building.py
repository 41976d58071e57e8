"""Indexes and keys, built without blocking: those of partitioned tables partition by partition.

An empty index is created on the parent alone, then each partition's own index is built CONCURRENTLY
and attached: the parent's is valid once all are.
https://www.postgresql.org/docs/current/ddl-partitioning.html
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from predeploy.contract.quoting import identifier, literal
from predeploy.schema.ddl import Change, Phase, change, relation
from predeploy.schema.entry import FOREIGN
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.indexes import attaching, parts
from predeploy.schema.kinds.indexes.index_ddl import (
    create_sql,
    index_name,
    leaf,
    name_on,
    named,
    twin,
)
from predeploy.schema.schema_pair import SchemaPair

PARTITIONED = "partitioned table"
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


def build(desired: Fact, live: Fact | None, pair: SchemaPair) -> Change:
    """Return the change that builds an index; a live one may only be an invalid remnant."""
    table = pair.table_of(desired)
    is_plain = live is None and pair.can_build_at_once(desired)
    if table is not None and table.get("kind") == PARTITIONED and not is_plain:
        so_named = replace(desired, name=live.name) if live is not None else desired
        return change(desired, Phase.ONLINE, *built(so_named, live, table, pair))
    if is_plain:
        made = create_sql(desired, desired.name)
        return change(desired, Phase.TOGETHER, *parts.create_statements(desired, pair), made)
    if live is None:
        return change(desired, Phase.ONLINE, create_sql(desired, desired.name, "CONCURRENTLY "))
    # The statement's runner drops what a failed build left, unless another session is still
    # building it. The index may have become valid by then, since rewriting a table rebuilds its
    # indexes.
    create = create_sql(desired, live.name, "CONCURRENTLY IF NOT EXISTS ")
    return change(desired, Phase.ONLINE, create, *_commented(live, pair))


def _commented(live: Fact, pair: SchemaPair) -> tuple[str, ...]:
    """Return the comment for a rebuilt index, which is dropped with the old one."""
    comment = pair.live.get(Kind.COMMENT, live.schema, live.name, "index")
    if comment is None:
        return ()
    return (f"COMMENT ON {comment.get('on')} IS {literal(comment.get('text'))}",)


def attach(desired: Fact, pair: SchemaPair) -> Change:
    """Return the change that makes a live table the declared partition.

    Indexes and keys of the parent that it lacks are built first, online.
    """
    schema, name = desired.listed("partition of")
    parent = identifier(schema, name)
    statement = f"ALTER TABLE {parent} ATTACH PARTITION {relation(desired)} {desired.get('bound')}"
    if not pair.size(desired):
        lacking = parts.missing_on(desired, pair)
        made = (parts.create_part_sql(part) for part, root in lacking if parts.is_there(root, pair))
        return change(desired, Phase.TOGETHER, *made, statement)
    before = [
        text
        for thing in pair.live.on((schema, name), Kind.INDEX, Kind.CONSTRAINT)
        if attaching.has_index(thing)
        for text in leaf(_on(thing, desired, pair), desired, pair)
    ]
    phase = Phase.ONLINE if before else Phase.TOGETHER
    return change(desired, phase, *before, statement)


def _on(thing: Fact, table: Fact, pair: SchemaPair) -> Fact:
    name = name_on(thing, table, pair)
    return replace(thing, schema=table.schema, relation=table.relation, name=name)


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
