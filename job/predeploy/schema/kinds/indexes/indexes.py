"""Indexes without a constraint: built concurrently if there are rows, partition by partition."""

from collections.abc import Iterator
from dataclasses import replace

from predeploy.contract.quoting import literal
from predeploy.schema.ddl import Change, Phase, Report, change, not_addable
from predeploy.schema.entry import OF_RELATION, OWN_RELATION, Entry, attributes, flag, order, own
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.indexes import partitions, parts
from predeploy.schema.kinds.indexes.index_ddl import (
    IS_NO_KEY,
    create_sql,
    definition_sql,
    identifying,
    is_twin,
    otherwise_defined,
)
from predeploy.schema.schema_pair import SchemaPair


def plan(desired: Fact, live: Fact | None, pair: SchemaPair) -> Iterator[Change | Report]:
    """Build it; rebuild an invalid one; only report one with another definition."""
    if live is not None and not is_twin(desired, live):
        yield otherwise_defined(desired, live)
        return
    if live is None or live.get("invalid"):
        needs_lock = partitions.has_foreign(desired, pair) and not pair.can_build_at_once(desired)
        yield _locking(desired) if needs_lock else build(desired, live, pair)
        if needs_lock:
            return
    yield from identifying(desired, live)


def _locking(desired: Fact) -> Report:
    return not_addable(
        desired,
        "index-needs-lock",
        "the table has rows, and a partition that is a foreign table, which takes no index of its "
        "own",
        f"in a quiet hour, in a migration: {create_sql(desired, desired.name)}",
    )


def build(desired: Fact, live: Fact | None, pair: SchemaPair) -> Change:
    """Return the change that builds an index; a live one may only be an invalid remnant."""
    table = pair.table_of(desired)
    is_plain = live is None and pair.can_build_at_once(desired)
    if table is not None and table.get("kind") == partitions.PARTITIONED and not is_plain:
        named = replace(desired, name=live.name) if live is not None else desired
        built = partitions.built(named, live, table, pair)
        return change(desired, Phase.ONLINE, *built)
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


INDEX = Entry(
    Kind.INDEX,
    f"""select n.nspname, c.relname, i.relname, {
        attributes(
            unique=flag("x.indisunique"),
            definition=definition_sql("x"),
            invalid=flag("not x.indisvalid"),
            attached=partitions.ATTACHED,
            replica_identity=flag("x.indisreplident"),
        )
    }, {order("i.oid")}
        from pg_catalog.pg_index x {OF_RELATION.format("x.indrelid")}
        join pg_catalog.pg_class i on i.oid = x.indexrelid
        where c.relkind in ('r', 'p', 'm')""",
    plan,
    is_twin=is_twin,
    own=f"""not i.relispartition and {OWN_RELATION} and {own("pg_class", "i.oid")}
        and {IS_NO_KEY}""",
)
