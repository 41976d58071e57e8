"""Reads the existing objects by kind and name, in the terms in which files create them."""

from predeploy.database.server.rows import Row, typed
from predeploy.snapshot import Name

_SYSTEM = "n.nspname !~ '^(pg_|information_schema$)'"


def names_sql(condition: str) -> str:
    """Return the query of every named object outside PostgreSQL's own schemas.

    It returns and reads nothing if the condition is false.
    """
    return f"""select q.kind, q.schema, q.of, q.name from (
        select case c.relkind when 'v' then 'view' when 'm' then 'materialized view'
                   when 'S' then 'sequence' else 'table' end, n.nspname, c.relname, ''
            from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where {_SYSTEM} and c.relkind in ('r', 'p', 'f', 'v', 'm', 'S')
        union all
        select 'index', n.nspname, c.relname, t.relname
            from pg_catalog.pg_index i
            join pg_catalog.pg_class c on c.oid = i.indexrelid
            join pg_catalog.pg_class t on t.oid = i.indrelid
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace where {_SYSTEM}
        union all
        select 'column', n.nspname, a.attname, c.relname
            from pg_catalog.pg_attribute a
            join pg_catalog.pg_class c on c.oid = a.attrelid
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where {_SYSTEM} and c.relkind in ('r', 'p', 'f') and a.attnum > 0
              and not a.attisdropped
        union all
        select 'constraint', n.nspname, k.conname, c.relname
            from pg_catalog.pg_constraint k
            join pg_catalog.pg_class c on c.oid = k.conrelid
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace where {_SYSTEM}
        union all
        select 'type', n.nspname, t.typname, ''
            from pg_catalog.pg_type t
            join pg_catalog.pg_namespace n on n.oid = t.typnamespace
            left join pg_catalog.pg_class c on c.oid = t.typrelid
            where {_SYSTEM} and (t.typrelid = 0 or c.relkind = 'c')
        union all
        select 'function', n.nspname, p.proname, ''
            from pg_catalog.pg_proc p
            join pg_catalog.pg_namespace n on n.oid = p.pronamespace where {_SYSTEM}
        union all
        select 'trigger', n.nspname, g.tgname, c.relname
            from pg_catalog.pg_trigger g
            join pg_catalog.pg_class c on c.oid = g.tgrelid
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where {_SYSTEM} and not g.tgisinternal
        union all
        select 'policy', n.nspname, p.polname, c.relname
            from pg_catalog.pg_policy p
            join pg_catalog.pg_class c on c.oid = p.polrelid
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace where {_SYSTEM}
        union all
        select 'rule', n.nspname, r.rulename, c.relname
            from pg_catalog.pg_rewrite r
            join pg_catalog.pg_class c on c.oid = r.ev_class
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace where {_SYSTEM}
        union all
        select 'schema', '', n.nspname, '' from pg_catalog.pg_namespace n
        union all
        select 'extension', '', x.extname, '' from pg_catalog.pg_extension x
        ) q(kind, schema, name, of) where {condition}"""


def dependent_tables_sql() -> str:
    """Return the query of the tables that come and go with something else, as `names_sql` has it.

    Those are partitions and other children, and what an extension has made.
    """
    return f"""select 'table', n.nspname, '', c.relname
        from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where {_SYSTEM} and c.relkind in ('r', 'p', 'f')
          and (exists (select 1 from pg_catalog.pg_inherits i where i.inhrelid = c.oid)
               or exists (select 1 from pg_catalog.pg_depend d
                          where d.classid = 'pg_catalog.pg_class'::regclass
                            and d.objid = c.oid and d.deptype = 'e'))"""


def parse_names(rows: list[Row]) -> frozenset[Name]:
    """Convert the result of `names_sql` into names."""
    return frozenset(typed(tuple[str, str, str, str], rows))
