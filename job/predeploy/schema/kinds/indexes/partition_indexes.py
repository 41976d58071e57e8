"""Partitions' parts of a parent's index: facts if a file names them.

Building the parent's index builds these, too, under names that PostgreSQL generates. If an equal
index exists already, it is used: so those with an explicit name are created first.
https://www.postgresql.org/docs/current/ddl-partitioning.html
"""

from collections.abc import Iterable, Iterator

from predeploy.schema.ddl import Change, Phase, Report, change
from predeploy.schema.entry import OF_RELATION, Entry, attributes, flag, order, own
from predeploy.schema.facts import Fact, Key
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.indexes import indexes
from predeploy.schema.kinds.indexes.index_ddl import create_sql, otherwise_defined
from predeploy.schema.schema_pair import SchemaPair


def plan(desired: Fact, live: Fact | None, pair: SchemaPair) -> Iterator[Change | Report]:
    """Create it before the parent's index if that is created at once; else that one creates it."""
    if live is not None:
        if not is_twin(desired, live):
            yield otherwise_defined(desired, live)
        return
    if _is_made_at_once(desired, pair):
        made = create_sql(desired, desired.name)
        yield change(desired, Phase.TOGETHER, made, needs=indexes.parts(desired, pair))


def _is_made_at_once(part: Fact, pair: SchemaPair) -> bool:
    schema, table, name = part.listed("of")
    above = (schema, table, name)
    if pair.missing.get(Kind.PARTITION_INDEX, *above):
        return _is_made_at_once(pair.missing.facts[Kind.PARTITION_INDEX.value, *above], pair)
    parent = pair.missing.get(Kind.INDEX, *above)
    return parent is not None and parent.key not in pair.renamed.facts and pair.is_plain(parent)


def is_twin(desired: Fact, live: Fact) -> bool:
    """Whether they are the same except for their name and that of the parent's index."""
    names = ("unique", "definition")
    is_same = all(desired.get(name) == live.get(name) for name in names)
    return is_same and desired.listed("of")[:2] == live.listed("of")[:2]


def named(facts: Iterable[Fact], names: frozenset[Key]) -> frozenset[Fact]:
    """Return the facts without the parts of indexes that no file names."""
    kind = Kind.PARTITION_INDEX.value
    return frozenset(f for f in facts if f.kind != kind or (Kind.INDEX.value, *f.key[1:]) in names)


PARTITION_INDEX = Entry(
    Kind.PARTITION_INDEX,
    f"""select n.nspname, c.relname, i.relname, {
        attributes(
            of="pg_catalog.json_build_array(pn.nspname, p.relname, pi.relname)::text",
            unique=flag("x.indisunique"),
            definition=indexes.definition_sql("x"),
        )
    }, {order("i.oid")}
        from pg_catalog.pg_index x {OF_RELATION.format("x.indrelid")}
        join pg_catalog.pg_class i on i.oid = x.indexrelid
        join pg_catalog.pg_inherits h on h.inhrelid = i.oid
        join pg_catalog.pg_class pi on pi.oid = h.inhparent
        join pg_catalog.pg_index px on px.indexrelid = pi.oid
        join pg_catalog.pg_class p on p.oid = px.indrelid
        join pg_catalog.pg_namespace pn on pn.oid = p.relnamespace
        where i.relispartition and c.relpersistence <> 't' and {own("pg_class", "c.oid")}
          and not exists (
            select from pg_catalog.pg_constraint k
            where k.conrelid = x.indrelid and k.conindid = i.oid
              and k.contype in ('p', 'u', 'x'))""",
    plan,
    is_twin=is_twin,
)
