"""Counts what there is to lose, where a sign has made the sentinel suspicious."""

from collections.abc import Iterable

from psycopg.errors import InsufficientPrivilege

from job.database import wire
from job.database.wire import Connection, literal
from job.loss import Holdings, Table

_SAVEPOINT = "predeploy_count"

# The relations of the composite types that a table has values of: in a column, or somewhere inside
# its type, which may be an array, a domain, a range or another composite type.
_COMPOSITES = """
    with recursive held(type) as (
        select a.atttypid
        from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
        where c.relkind in ('r', 'p') and c.oid >= 16384 and a.attnum > 0 and not a.attisdropped
        union
        select part.type
        from held join pg_catalog.pg_type t on t.oid = held.type
        left join pg_catalog.pg_range r on t.oid in (r.rngtypid, r.rngmultitypid)
        cross join lateral (
            values (t.typelem), (t.typbasetype), (r.rngsubtype)
            union all
            select a.atttypid from pg_catalog.pg_attribute a
            where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
        ) part(type)
        where part.type >= 16384
    )
    select t.typrelid from held join pg_catalog.pg_type t on t.oid = held.type"""


def read_holdings(conn: Connection, schema: str, suspects: Iterable[int]) -> Holdings:
    """Look at what there is to lose, in the open transaction; count the suspects' rows.

    A partition is counted with all others of its root, so that a row that moves is not lost. What
    a materialized view holds is counted nowhere: it can be had again. Large objects are the rows of
    pg_catalog.pg_largeobject_metadata.
    """
    theirs = f"""n.nspname !~ '^(pg_|information_schema$)' and n.nspname <> {literal(schema)}"""
    tables = wire.ask(
        conn,
        f"""select c.oid, concat_ws('.', n.nspname, c.relname), c.relfilenode,
                   case when c.relispartition then pg_catalog.pg_partition_root(c.oid)::oid
                   else 0 end,
                   pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid),
                   pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid), c.relkind
            from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where c.relkind in ('r', 'p', 'm') and {theirs}
               or c.oid = 'pg_catalog.pg_largeobject_metadata'::pg_catalog.regclass""",
    )
    columns = wire.ask(
        conn,
        f"""select c.oid, a.attnum, concat_ws('.', n.nspname, c.relname, a.attname), c.relkind
            from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            left join pg_catalog.pg_attribute a
              on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            where (c.relkind in ('r', 'p') or c.relkind = 'c' and c.oid in ({_COMPOSITES}))
              and {theirs}""",
    )
    labels = wire.ask(
        conn,
        f"""select e.oid, concat_ws('.', n.nspname, t.typname, e.enumlabel)
            from pg_catalog.pg_enum e
            join pg_catalog.pg_type t on t.oid = e.enumtypid
            join pg_catalog.pg_namespace n on n.oid = t.typnamespace where {theirs}""",
    )
    found = {int(oid or 0): int(root or 0) for oid, _, _, root, *_, kind in tables if kind != "m"}
    wanted = {found[oid] or oid for oid in suspects if oid in found}
    leaves = [int(oid or 0) for oid, *_, kind in tables if kind == "r"]
    rows = {oid: 0 for oid in leaves if (found[oid] or oid) in wanted}
    for oid in wanted:
        rows |= _count(conn, oid)
    return Holdings(
        {
            int(oid or 0): Table(
                name or "",
                int(node or 0),
                rows.get(int(oid or 0)),
                inserted=int(inserted or 0),
                deleted=int(deleted or 0),
                root=int(root or 0),
            )
            for oid, name, node, root, inserted, deleted, _ in tables
        },
        {(int(oid or 0), int(number)): name or "" for oid, number, name, _ in columns if number},
        {int(oid or 0): name or "" for oid, name in labels},
        frozenset(int(oid or 0) for oid, *_, kind in columns if kind == "c"),
    )


def _count(conn: Connection, oid: int) -> dict[int, int]:
    """Count the rows of a table, or of all its partitions; what inherits has rows of its own."""
    ((name, only, is_veiled, left),) = wire.ask(
        conn,
        f"""select oid::pg_catalog.regclass::text, case relkind when 'p' then '' else 'only ' end,
               pg_catalog.row_security_active(oid),
               pg_catalog.pg_stat_get_xact_tuples_inserted(oid)
               - pg_catalog.pg_stat_get_xact_tuples_deleted(oid)
        from pg_catalog.pg_class where oid = {oid}""",
    )
    sql = f"select tableoid, count(*) from {only}{name} group by tableoid"
    if is_veiled == "t":
        return _unveiled(conn, name or "", sql) or {oid: int(left or 0)}
    return _numbers(wire.ask(conn, sql))


def _unveiled(conn: Connection, name: str, sql: str) -> dict[int, int] | None:
    """Count behind row-level security, which hides rows from a table's owner where it is forced.

    In a savepoint that is rolled back, lock and all. None where we don't own the table: then only
    what the transaction itself has put in and taken out is known.
    """
    answer = wire.send(
        conn,
        f"savepoint {_SAVEPOINT}; alter table {name} no force row level security; {sql}",
    )
    rows = answer.rows(-1) if answer.error is None else []
    wire.ask(conn, f"rollback to savepoint {_SAVEPOINT}; release savepoint {_SAVEPOINT}")
    if answer.error is None:
        return _numbers(rows) or {0: 0}
    if answer.error.sqlstate == InsufficientPrivilege.sqlstate:
        return None
    with wire.translated(conn):
        raise answer.error


def _numbers(rows: list[wire.Row]) -> dict[int, int]:
    return {int(table or 0): int(amount or 0) for table, amount in rows}
