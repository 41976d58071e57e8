"""What partitions have of their parent's indexes and constraints: facts where a file names it.

What makes the parent's makes the others, too, under names that PostgreSQL makes up. Where an equal
one is there already, it takes that: so those with a name of their own are made before the parent's,
or before their table becomes a partition of it.
https://www.postgresql.org/docs/current/ddl-partitioning.html
"""

from collections.abc import Iterator
from dataclasses import replace

from predeploy.schema.ddl import Change, Report, drift
from predeploy.schema.entry import OF_RELATION, Entry, attributes, flag, order, own
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.indexes import index_ddl
from predeploy.schema.kinds.indexes.index_ddl import add_key, create_sql
from predeploy.schema.kinds.indexes.leaves import twin
from predeploy.schema.schema_pair import SchemaPair
from predeploy.schema.written import named_as


def plan(desired: Fact, live: Fact | None, pair: SchemaPair) -> Iterator[Change | Report]:
    """Tell of one that is part of something else, unless what it is to be part of lacks, too.

    Else let it tell the rows that are replicated, if it is declared so.
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
    """Whether they are the same but for their name, and for that of their parent's."""
    is_same = index_ddl.is_twin(desired, live)
    return is_same and desired.listed("of")[:2] == live.listed("of")[:2]


def made_first(whole: Fact, pair: SchemaPair, how: str = "") -> tuple[str, ...]:
    """Return what makes the named parts of an index or a constraint that is made at once.

    Their tables exist by then. `how` follows each statement.
    """
    return tuple(_made_first(whole, pair, how))


def of_a_partition(table: Fact, pair: SchemaPair) -> Iterator[tuple[Fact, Fact]]:
    """Yield the parts that a table is to have and has not, each with what it is a part of.

    That is what the outermost table has, in the order of their creation.
    """
    place = (table.schema, table.relation)
    parts = pair.desired.on(place, Kind.PARTITION_INDEX, Kind.PARTITION_CONSTRAINT)
    for part in sorted(parts, key=lambda part: part.order):
        if not _has_own(part, table, pair):
            yield part, _root(part, pair)


def is_there(root: Fact, pair: SchemaPair) -> bool:
    """Whether the outermost table's index or constraint is there as it is declared."""
    live = pair.live.facts.get(root.key)
    return root.key in pair.renamed.facts or (live is not None and index_ddl.is_twin(root, live))


def made(part: Fact) -> str:
    """Return what makes a part while it is not yet one."""
    is_index = part.kind == Kind.PARTITION_INDEX.value
    return create_sql(part, part.name) if is_index else add_key(part)


def _root(part: Fact, pair: SchemaPair) -> Fact:
    whole = pair.desired.whole_of(part)
    return part if whole is None else _root(whole, pair)


def _made_first(whole: Fact, pair: SchemaPair, how: str) -> Iterator[str]:
    for part in sorted(pair.desired.parts_of(whole), key=lambda part: part.order):
        place = (Kind.TABLE, part.schema, part.relation)
        table = pair.live.get(*place) or pair.desired.get(*place)
        if table is not None and not _has_own(part, table, pair):
            yield from _made_first(part, pair, how)
            yield f"{made(part)}{how}"


def _has_own(part: Fact, table: Fact, pair: SchemaPair) -> bool:
    """Whether its table has the like, which is not yet a part of anything."""
    return twin(replace(part, kind=named_as(part)[0]), table, pair) is not None


PARTITION_INDEX = Entry(
    Kind.PARTITION_INDEX,
    f"""select n.nspname, c.relname, i.relname, {
        attributes(
            of="pg_catalog.json_build_array(pn.nspname, p.relname, pi.relname)::text",
            unique=flag("x.indisunique"),
            definition=index_ddl.definition_sql("x"),
            replica_identity=flag("x.indisreplident"),
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
