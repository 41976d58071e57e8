"""The statements that grant a role what it was refused, found in the catalog, ready to paste.

The server's refusal names neither a schema nor a privilege, and its message may be localized. So
the ledger is checked as a whole, whatever the message; other objects that it names are looked up.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from predeploy.contract.errors import ConnectionLostError, DeniedError
from predeploy.contract.quoting import identifier, literal
from predeploy.database.server import wire
from predeploy.database.server.privilege import Refused, grant_for, refused_in
from predeploy.database.server.wire import Connection

_READING, _WRITING = "select", "select, insert, update, delete"
_RELATIONS = {
    "table": ("r", "p"),
    "view": ("v",),
    "materialized view": ("m",),
    "foreign table": ("f",),
    "sequence": ("S",),
}
_ROUTINES = ("function", "procedure", "aggregate")


@contextmanager
def advised(conn: Connection, schema: str, *, to_read: bool = False) -> Iterator[None]:
    """Add the missing GRANTs to a DeniedError raised in the block; `schema` is the ledger's.

    With `to_read` only the privileges for reading are named.
    """
    try:
        yield
    except DeniedError as denied:
        if denied.is_filtered:
            raise
        try:
            wire.roll_back(conn)
            remedy = for_ledger(conn, schema, to_read=to_read)
            remedy = remedy or for_refusal(conn, denied.why, to_read=to_read)
        except (DeniedError, ConnectionLostError):
            # The lookup may be denied, too; the first refusal is the one to report.
            raise denied from None
        raise DeniedError(denied.why, remedy) from None


def for_ledger(conn: Connection, schema: str, *, to_read: bool) -> str:
    """Return the GRANTs that the role lacks on the ledger; empty if it lacks none."""
    rights = _READING if to_read else _WRITING
    rows = wire.ask(
        conn,
        f"""select pg_catalog.has_schema_privilege(n.oid, 'usage'),
               pg_catalog.has_schema_privilege(n.oid, 'create'),
               (select bool_and(pg_catalog.has_table_privilege(c.oid, r.name))
                from pg_catalog.pg_class c,
                     pg_catalog.string_to_table({literal(rights)}, ', ') r(name)
                where c.relnamespace = n.oid and c.relkind = 'r'),
               (select bool_and(pg_catalog.has_function_privilege(p.oid, 'execute'))
                from pg_catalog.pg_proc p where p.pronamespace = n.oid)
        from pg_catalog.pg_namespace n where n.nspname = {literal(schema)}""",
    )
    if not rows:
        return ""
    may_use, may_create, has_tables, has_functions = (value != "f" for value in rows[0])
    place, role = identifier(schema), identifier(conn.info.user)
    lacking = []
    if not may_use or not (may_create or to_read):
        lacking.append(f"GRANT {'USAGE' if to_read else 'USAGE, CREATE'} ON SCHEMA {place}")
    if not has_tables:
        lacking.append(f"GRANT {rights.upper()} ON ALL TABLES IN SCHEMA {place}")
    if not (has_functions or to_read):
        lacking.append(f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {place}")
    if not lacking:
        return ""
    statements = ";\n".join(f"{grant} TO {role}" for grant in lacking)
    return f"{statements}; or connect as the owner of the ledger"


def for_refusal(conn: Connection, why: str, *, to_read: bool = False) -> str:
    """Return what to grant for a refusal with this message; needs an idle connection."""
    role = identifier(conn.info.user)
    refused = refused_in(why)
    if refused is None:
        return grant_for(why, role, to_read=to_read)
    if refused.is_ownership:
        owner = _owner(conn, refused)
        return f"GRANT {owner} TO {role}, or connect as {owner}" if owner else grant_for(why, role)
    name = _name(conn, refused, "select" if to_read else "select, insert, update, delete")
    return grant_for(why, role, to_read=to_read, name=name)


def event_trigger_behind(conn: Connection, context: str) -> str:
    """Return the event trigger whose function raised an error, found by the error's context.

    Empty if there is none. Needs an idle connection.
    """
    rows = wire.ask(
        conn,
        f"""select e.evtname from pg_catalog.pg_event_trigger e
        join pg_catalog.pg_proc p on p.oid = e.evtfoid
        where e.evtenabled <> 'D'
          and strpos({literal(context)}, pg_catalog.quote_ident(p.proname) || '(') > 0
        order by length(p.proname) desc, e.evtname limit 1""",
    )
    return f"the event trigger {identifier(rows[0][0] or '')}" if rows else ""


def _name(conn: Connection, refused: Refused, rights: str) -> str:
    """Return the object's qualified name if only one object can be meant; else an empty string."""
    # Two rows at most are read: with a second one the name is ambiguous.
    name = literal(refused.name)
    if refused.kind in _RELATIONS:
        kinds = ", ".join(map(literal, _RELATIONS[refused.kind]))
        may = "sequence" if refused.kind == "sequence" else "table"
        needed = "usage" if refused.kind == "sequence" else rights
        rows = wire.ask(
            conn,
            f"""select pg_catalog.format('%I.%I', n.nspname, c.relname) from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where c.relname = {name} and c.relkind in ({kinds}) and exists (
                select from pg_catalog.string_to_table({literal(needed)}, ', ') r(name)
                where not pg_catalog.has_{may}_privilege(c.oid, r.name)) limit 2""",
        )
    elif refused.kind in _ROUTINES:
        rows = wire.ask(
            conn,
            f"""select p.oid::pg_catalog.regprocedure::text from pg_catalog.pg_proc p
            where p.proname = {name}
              and not pg_catalog.has_function_privilege(p.oid, 'execute') limit 2""",
        )
    elif refused.kind == "type":
        rows = wire.ask(
            conn,
            f"""select pg_catalog.format('%I.%I', n.nspname, t.typname) from pg_catalog.pg_type t
            join pg_catalog.pg_namespace n on n.oid = t.typnamespace
            where pg_catalog.format_type(t.oid, null) = {name} or t.typname = {name} limit 2""",
        )
    else:
        return ""
    return rows[0][0] or "" if len(rows) == 1 else ""


def _owner(conn: Connection, refused: Refused) -> str:
    """Return the quoted role that owns the object; empty if more than one may be meant."""
    name = literal(refused.name)
    rows = wire.ask(
        conn,
        f"""select distinct pg_catalog.quote_ident(r.rolname) from (
            select c.relowner from pg_catalog.pg_class c
            where c.relname = {name} and {literal(refused.kind)} in (
                'table', 'view', 'materialized view', 'foreign table', 'sequence', 'index',
                'relation')
            union all
            select n.nspowner from pg_catalog.pg_namespace n
            where n.nspname = {name} and {literal(refused.kind)} = 'schema'
            union all
            select p.proowner from pg_catalog.pg_proc p
            where p.proname = {name} and {literal(refused.kind)} in ('function', 'procedure')
            union all
            select t.typowner from pg_catalog.pg_type t
            where t.typname = {name} and {literal(refused.kind)} = 'type'
        ) o(owner) join pg_catalog.pg_roles r on r.oid = o.owner
        where not pg_catalog.pg_has_role(o.owner, 'usage') limit 2""",
    )
    return rows[0][0] or "" if len(rows) == 1 else ""
