"""Indexes without a constraint, and those of partitions that are parts of one."""

from predeploy.schema.ddl import Outcome, Report, not_addable
from predeploy.schema.entry import OF_RELATION, OWN_RELATION, Entry, attributes, flag, order, own
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.indexes import building, parts
from predeploy.schema.kinds.indexes.index_ddl import (
    DEFINITION,
    IS_NO_KEY,
    create_sql,
    identifying,
    is_twin,
    otherwise_defined,
)
from predeploy.schema.schema_pair import SchemaPair


def plan(desired: Fact, live: Fact | None, pair: SchemaPair) -> Outcome:
    """Build it; rebuild an invalid one; only report one with another definition."""
    if live is not None and not is_twin(desired, live):
        yield otherwise_defined(desired, live)
        return
    if live is None or live.get("invalid"):
        needs_lock = building.has_foreign(desired, pair) and not pair.can_build_at_once(desired)
        yield _locking(desired) if needs_lock else building.build(desired, live, pair)
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


INDEX = Entry(
    Kind.INDEX,
    f"""select n.nspname, c.relname, i.relname, {
        attributes(
            unique=flag("x.indisunique"),
            definition=DEFINITION,
            invalid=flag("not x.indisvalid"),
            attached=building.ATTACHED,
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


PARTITION_INDEX = Entry(
    Kind.PARTITION_INDEX,
    f"""select n.nspname, c.relname, i.relname, {
        attributes(
            of="pg_catalog.json_build_array(pn.nspname, p.relname, pi.relname)::text",
            unique=flag("x.indisunique"),
            definition=DEFINITION,
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
        where i.relispartition and {OWN_RELATION}
          and {IS_NO_KEY}""",
    parts.plan,
    is_twin=parts.is_twin,
)
