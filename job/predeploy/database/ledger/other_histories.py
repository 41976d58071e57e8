"""Reads the tables in which other tools record what they have applied. Nothing here writes."""

import json
from collections.abc import Iterable, Sequence

from predeploy.contract.quoting import identifier, literal
from predeploy.database.server import wire
from predeploy.database.server.path import OWN_PATH
from predeploy.database.server.rows import Row, typed
from predeploy.database.server.transaction import row_security_sql
from predeploy.database.server.wire import Connection
from predeploy.sources.formats.format import History, Records, Table


def tables_sql(histories: Iterable[History]) -> str:
    """Return the query of the tables that have the name of one of the histories."""
    known = tuple(histories)
    names = ", ".join(sorted({literal(history.table) for history in known}))
    foreign = sorted({literal(name) for history in known for name in history.foreign})
    neighbours = (
        f"""select pg_catalog.json_agg(o.relname)::text from pg_catalog.pg_class o
        where o.relnamespace = c.relnamespace
          and o.relname in ({", ".join(foreign)})"""
        if foreign
        else "select null"
    )
    # Behind CASE, as has_table_privilege comes too late where the schema may not be used.
    readable = """case when pg_catalog.has_schema_privilege(n.oid, 'usage')
            then pg_catalog.has_table_privilege(c.oid, 'select')
                and not pg_catalog.row_security_active(c.oid) else false end"""
    return f"""select n.nspname, c.relname, {readable}, (
            select pg_catalog.json_agg(a.attname)::text from pg_catalog.pg_attribute a
            where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
            coalesce(({neighbours}), '[]')
        from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p') and c.relname in ({names})
        order by 1, 2"""


def there_sql(histories: Iterable[History]) -> str:
    """Return a condition: there is a table that has the name of one of the histories."""
    names = ", ".join(sorted({literal(history.table) for history in histories}))
    return f"""exists (select from pg_catalog.pg_class
        where relkind in ('r', 'p') and relname in ({names}))"""


def read(
    conn: Connection,
    histories: Sequence[History],
    found: Sequence[Row],
    schemas: Sequence[str],
) -> tuple[Records, ...]:
    """Return the tools' tables among `found`, the result of `tables_sql`, with their rows.

    Those count that are where the tool looks: in `schemas`, the operator's search_path, or in its
    own schema. If only one tool can be meant, its table counts wherever it is, and has to be
    readable: DatabaseRefusedError (77). Another's is passed over if it may not be read.
    """
    tables = [
        (Table(schema, name, frozenset(columns), frozenset(neighbours)), is_readable)
        for schema, name, is_readable, columns, neighbours in typed(
            tuple[str, str, bool, tuple[str, ...], tuple[str, ...]], found
        )
    ]
    is_certain = len(histories) == 1
    kept = [
        (history, table)
        for history in histories
        for table, is_readable in tables
        if history.is_kept_in(table) and (is_readable or is_certain)
    ]
    near = [
        (h, t)
        for h, t in kept
        if t.schema in (*schemas, h.schema, h.mirror.schema if h.mirror else "")
    ]
    wanted = near or (kept if is_certain else [])
    if not wanted:
        return ()
    answers = wire.ask_all(
        conn,
        [_rows_sql(history, table) for history, table in wanted],
        opening=[
            "begin isolation level repeatable read read only",
            OWN_PATH,
            row_security_sql(is_on=False),
        ],
        closing=["rollback"],
    )
    return tuple(
        Records(history, table, tuple(json.loads(row or "{}") for (row,) in rows))
        for (history, table), rows in zip(wanted, answers, strict=True)
    )


def _rows_sql(history: History, table: Table) -> str:
    name = f"{identifier(table.schema)}.{identifier(table.name)}"
    return f"select pg_catalog.to_jsonb(t)::text from {name} t order by {identifier(history.order)}"
