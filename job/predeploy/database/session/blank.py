"""Whether a run begins on a database without rows, and so needs no declarations of losses."""

import json
from collections.abc import Collection, Sequence

import structlog

from predeploy.contract.quoting import identifier
from predeploy.contract.words import named
from predeploy.database.ledger.initial_state import theirs_sql
from predeploy.database.sentinel import made
from predeploy.database.server import wire
from predeploy.database.server.rows import Row
from predeploy.database.server.transaction import settings_sql
from predeploy.database.server.wire import Connection
from predeploy.database.session.run_context import RunContext
from predeploy.sources import Sources

log = structlog.get_logger()

_PATIENCE = {"lock_timeout": "500ms", "statement_timeout": "30s"}


def begins_without_rows(context: RunContext, sources: Sources, path: Collection[str]) -> bool:
    """Return, before the first step, whether the run needs no declarations of losses.

    That is so if the tables in the folder's schemas hold no rows other than those written by noted
    steps. A table that could not be read is assumed to hold rows. Notes that no longer count are
    deleted. `path` holds the schemas of the search_path.
    """
    if not (context.initial.has_ledger or context.initial.inhabited):
        return True
    conn, schema = context.work, context.settings.ledger_schema
    answers = _read(conn, _question_sql(schema))
    if answers is None:
        return False
    ((is_over, told),) = answers
    tables = [
        (str(home), str(name), str(top or home)) for home, name, top in json.loads(told or "[]")
    ]
    used = _used(sources, path, {schema for home, _, top in tables for schema in (home, top)})
    filled = [(home, name) for home, name, top in tables if {home, top} & used]
    if is_over == "t":
        wire.ask(conn, made.forget_sql(schema))
    if not filled or not _hold_others(conn, schema, filled):
        return True
    wire.ask(conn, made.forget_sql(schema))
    return False


def _used(sources: Sources, path: Collection[str], schemas: Collection[str]) -> frozenset[str]:
    """Return the schemas that the folder uses: on its search_path, or named in a file."""
    others = frozenset(schemas) - {*path}
    if not others:
        return frozenset(schemas)
    files = (*sources.migrations, *sources.schema, *sources.fallbacks)
    return frozenset(schemas) - others | named((script.text for script in files), others)


def _question_sql(schema: str) -> str:
    """Return the query: whether earlier notes are obsolete, and which tables may hold rows."""
    name = identifier(schema)
    return f"""select
        exists (select from {name}.run where exit_code = 0)
            or exists (select from {name}.meta where key in ('adopting', 'synced')
                       or starts_with(key, 'adopted ')),
        coalesce((select json_agg(json_build_array(n.nspname, c.relname, (
                select t.nspname from pg_catalog.pg_class r
                join pg_catalog.pg_namespace t on t.oid = r.relnamespace
                where r.oid = pg_catalog.pg_partition_root(c.oid))))
         from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where c.relkind = 'r' and c.relpersistence <> 't'
           and pg_catalog.pg_relation_size(c.oid) > 0 and {theirs_sql(schema)}), '[]')::text"""


def _hold_others(conn: Connection, schema: str, tables: Sequence[tuple[str, str]]) -> bool:
    """Whether one of the tables holds a row that no noted step wrote, or cannot be read."""
    relations = (f"only {identifier(home, name)}" for home, name in tables)
    rows = " or ".join(
        f"exists (select from {relation} t, made where not made.ages @> age(t.xmin))"
        for relation in relations
    )
    rows_of = f"with made as materialized ({made.transaction_ages_sql(schema)}) select {rows}"
    return _read(conn, rows_of) in (None, [("t",)])


def _read(conn: Connection, query: str) -> list[Row] | None:
    """Return the rows of a query that reads tables or their sizes; None if it failed.

    It does not wait for a table that another session has locked: even its size cannot be read.
    """
    settings = settings_sql(_PATIENCE)
    reply = wire.send_named(
        conn,
        {"begin": "begin read only", "settings": settings, "query": query, "end": "rollback"},
    )
    wire.roll_back(conn)
    if reply.answer.error is None:
        return reply.rows("query")
    log.info(
        "could not read whether the tables hold rows, so it is assumed that they do",
        why=str(reply.answer.error),
    )
    return None
