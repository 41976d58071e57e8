"""Reads grants, to find those lost when a step drops an object and creates it again."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from predeploy.contract.grants import Grant, Granted, Grants, Ungranted, dropped, ungranted
from predeploy.contract.quoting import literal
from predeploy.contract.words import mentions
from predeploy.database.server import wire
from predeploy.database.server.rows import typed
from predeploy.database.server.wire import Connection

_EXISTS = {
    "table": "pg_catalog.to_regclass",
    "sequence": "pg_catalog.to_regclass",
    "routine": "pg_catalog.to_regprocedure",
    "type": "pg_catalog.to_regtype",
}


@dataclass(frozen=True, slots=True)
class Before:
    """The grants before a step; None if its text drops nothing and they were not read."""

    grants: Grants | None


def read_before(conn: Connection, schema: str, texts: Iterable[str]) -> Before:
    """Read the grants before a step of these texts, in its transaction; `schema`: the ledger's."""
    return Before(_read(conn, schema) if any(mentions(text, "drop") for text in texts) else None)


def gone_since(conn: Connection, schema: str, before: Before) -> tuple[Ungranted, ...]:
    """Read the grants after the step; return those that were lost."""
    if not before.grants:
        return ()
    after = _read(conn, schema)
    gone = dropped(before.grants, after)
    if not gone:
        return ()
    values = ", ".join(f"{_EXISTS[g.kind]}({literal(g.name)}) is not null" for g in gone)
    ((*found,),) = wire.ask(conn, f"select {values}")
    pairs = zip(gone, found, strict=True)
    return ungranted(gone, {(g.kind, g.name) for g, is_there in pairs if is_there == "t"}, after)


def _read(conn: Connection, schema: str) -> Grants:
    """Return the grants on relations, columns, routines and types, without the owners' own."""
    theirs = f"n.nspname !~ '^(pg_|information_schema$)' and n.nspname <> {literal(schema)}"
    rows = wire.ask(
        conn,
        f"""with objects(kind, oid, name, owner, acl, relative) as (
            select case c.relkind when 'S' then 'sequence' else 'table' end, c.oid,
                   pg_catalog.format('%I.%I', n.nspname, c.relname), c.relowner, c.relacl, ''
            from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where c.relacl is not null and {theirs}
            union all
            select 'table', c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname), c.relowner,
                   a.attacl, pg_catalog.format(' (%I)', a.attname)
            from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where a.attacl is not null and {theirs}
            union all
            select 'routine', p.oid, pg_catalog.format('%I.%I(%s)', n.nspname, p.proname,
                   pg_catalog.oidvectortypes(p.proargtypes)), p.proowner, p.proacl, ''
            from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
            where p.proacl is not null and {theirs}
            union all
            select 'type', t.oid, pg_catalog.format('%I.%I', n.nspname, t.typname), t.typowner,
                   t.typacl, ''
            from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
            where t.typacl is not null and {theirs}
        )
        select o.kind, o.oid, o.name, g.privilege_type || o.relative,
               coalesce(pg_catalog.quote_ident(r.rolname), 'PUBLIC')
        from objects o cross join lateral pg_catalog.aclexplode(o.acl) g
        left join pg_catalog.pg_roles r on r.oid = g.grantee
        where g.grantee <> o.owner
        order by o.oid""",
    )
    names: dict[tuple[str, int], str] = {}
    grants: defaultdict[tuple[str, int], set[Grant]] = defaultdict(set)
    for kind, oid, name, privilege, grantee in typed(tuple[str, int, str, str, str], rows):
        names[kind, oid] = name
        grants[kind, oid].add((privilege, grantee))
    return {
        (kind, oid): Granted(kind, name, frozenset(grants[kind, oid]))
        for (kind, oid), name in names.items()
    }
