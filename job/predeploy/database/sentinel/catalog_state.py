"""Looks at what a replayed step must leave unchanged: everything that is older than the ledger."""

from predeploy.contract.quoting import identifier, literal
from predeploy.database.catalog import fingerprint
from predeploy.database.server import wire
from predeploy.database.server.rows import typed
from predeploy.database.server.wire import Connection
from predeploy.judgment.replay_check import CatalogState


def read_state(conn: Connection, schema: str) -> CatalogState:
    """Return the catalog rows older than the ledger, and how many rows the transaction wrote.

    The rows that it wrote are counted for each table. A table's row in pg_class changes with every
    column and index that is added. So only those parts of it are read that do not change then, and
    the numbers of the table's triggers, rules and policies.
    """
    born = f"(select value::xid8::xid from {identifier(schema)}.meta where key = 'born')"
    described = fingerprint.rows_sql(schema)
    rows = wire.ask(
        conn,
        f"""select f.kind, f.id, f.xmin::text from ({described}) f(kind, id, xmin)
            where f.kind <> 'pg_class' and age(f.xmin) > age({born})
        union all
        select 'pg_class', c.oid::text, concat_ws(' ', c.relkind, c.relpersistence, c.relowner,
               c.relacl, c.reloptions, c.relrowsecurity, c.relforcerowsecurity, c.relreplident,
               c.relam, c.reltablespace, c.relispartition,
               (select count(*) from pg_catalog.pg_trigger g
                where g.tgrelid = c.oid and not g.tgisinternal),
               (select count(*) from pg_catalog.pg_rewrite r where r.ev_class = c.oid),
               (select count(*) from pg_catalog.pg_policy p where p.polrelid = c.oid))
            from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            join pg_catalog.pg_type t on t.oid = c.reltype
            where n.nspname !~ '^(pg_|information_schema$)' and n.nspname <> {literal(schema)}
              and age(t.xmin) > age({born})""",
    )
    touched = wire.ask(
        conn,
        f"""select concat_ws('.', n.nspname, c.relname),
                   pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid)
                   + pg_catalog.pg_stat_get_xact_tuples_updated(c.oid)
                   + pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid)
            from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            join pg_catalog.pg_type t on t.oid = c.reltype
            where c.relkind in ('r', 'm') and n.nspname !~ '^(pg_|information_schema$)'
              and n.nspname <> {literal(schema)} and age(t.xmin) > age({born})""",
    )
    return CatalogState(
        {(kind, name): mark for kind, name, mark in typed(tuple[str, str, str], rows)},
        dict(typed(tuple[str, int], touched)),
    )
