"""Keeps other sessions from writing to tables whose contents are counted before and after."""

from collections.abc import Collection
from dataclasses import dataclass

from predeploy.contract.plan import Failure
from predeploy.contract.quoting import identifier, literal
from predeploy.database.server import wire
from predeploy.database.server.wire import Connection
from predeploy.database.steps.message import Attempt
from predeploy.judgment.verdict import judge_uncounted
from predeploy.losses import values
from predeploy.losses.allowlist import Names
from predeploy.losses.loss import Loss, Verb
from predeploy.settings import Destructive

# Readers are not blocked.
WRITERS = "share row exclusive"
# For a step that starts by taking this lock itself: upgrading from the weaker lock would deadlock
# with a session that has read the table and waits to write to it.
EVERYBODY = "access exclusive"


@dataclass(frozen=True, slots=True)
class _Found:
    oid: int
    name: str
    sql: str
    size: int


def count_in_doubt(attempt: Attempt) -> frozenset[int] | Failure:
    """Lock the tables whose rows have to be counted; return them, or a refusal.

    If they are too large to count, what the step deletes must be declared; otherwise it is refused.
    If the policy allows everything, nothing is locked: the loss is reported as an estimate.
    """
    context, step, doubtful = attempt.context, attempt.step, attempt.delivery.doubtful
    found = _find(context.work, doubtful)
    if sum(table.size for table in found) > values.COUNTED_UP_TO:
        if context.settings.destructive is Destructive.ALLOW:
            return frozenset()
        sizes = (
            Loss(Verb.DELETE, t.name, detail=f"a table of {t.size // 1024**2} MB") for t in found
        )
        refusal = judge_uncounted(step, sizes, context.settings, Names())
        if refusal is not None:
            return refusal
    lock(attempt, doubtful, WRITERS)
    return doubtful


def lock(attempt: Attempt, tables: Collection[int], mode: str) -> None:
    """Lock tables and their partitions in the step's transaction.

    From then on no wait of this transaction exceeds the lock timeout, because others queue behind
    it. Raises ServerError; one with SQLSTATE 55P03 may pass on another try.
    """
    context = attempt.context
    found = _find(context.work, tables)
    if not found:
        return
    timeout = f"{round(context.settings.ddl_lock_timeout_s * 1000)}"
    names = ", ".join(table.sql for table in found)
    wire.ask(
        context.work,
        f"select pg_catalog.set_config('lock_timeout', {literal(timeout)}, true); "
        f"lock table {names} in {mode} mode",
    )


def _find(conn: Connection, tables: Collection[int]) -> list[_Found]:
    """Return these tables, or the roots of partitions among them, with their total sizes."""
    if not tables:
        return []
    rows = wire.ask(
        conn,
        f"""select c.oid, n.nspname, c.relname, (
                   with recursive tree(relid) as (
                       select c.oid union select i.inhrelid
                       from tree join pg_catalog.pg_inherits i on i.inhparent = tree.relid)
                   select pg_catalog.sum(pg_catalog.pg_table_size(relid)) from tree)
        from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p') and c.oid >= 16384 and c.oid in (
            select case when t.relispartition then pg_catalog.pg_partition_root(t.oid)::oid
                        else t.oid end
            from pg_catalog.pg_class t where t.oid in ({", ".join(map(str, tables))}))
        order by c.oid""",
    )
    return [
        _Found(
            int(oid or 0),
            f"{schema}.{name}",
            f"{identifier(schema or '')}.{identifier(name or '')}",
            int(size or 0),
        )
        for oid, schema, name, size in rows
    ]
