"""Whom we trust: ourselves, the roles whose rights we have, and superusers.

Who owns what we read or call may forge it, and have code of his run with our rights: by a function,
a trigger, a view in place of a table, a policy. PostgreSQL asks superusers for no membership, so
the membership is looked up here: a superuser trusts only the roles that were granted to him.
"""

from collections.abc import Iterable

from job.database import wire
from job.database.path import OUR_PATH, SCHEMAS, keep_sql
from job.database.wire import Connection, identifier, literal
from job.endpoint import Endpoint
from job.errors import DatabaseRefusedError
from job.exit_codes import ExitCode
from job.plan import Finding

TABLES = ("meta", "migration", "run", "declared", "state")
"""The tables of a ledger, the one by which it is known first."""

# Since PostgreSQL 16 who creates a role is a member of it without its rights: that is no trust.
_OURS = """with recursive ours(oid) as (
    select r.oid from pg_catalog.pg_roles r where r.rolname = current_user
    union
    select m.roleid from ours join pg_catalog.pg_auth_members m on m.member = ours.oid
    where coalesce((to_jsonb(m) ->> 'inherit_option')::bool, true)
       or coalesce((to_jsonb(m) ->> 'set_option')::bool, true))"""
# Its only member is the owner of the database at hand, and no catalog says so.
_AS_MEMBER = """case when r.rolname = 'pg_database_owner' then (
        select d.datdba from pg_catalog.pg_database d where d.datname = current_database())
    else r.oid end"""
_IS_STRANGE = f"""not exists (
        select from pg_catalog.pg_roles t where t.oid = ({_AS_MEMBER})
        and (t.rolsuper or t.oid in (select ours.oid from ours)))"""


def stranger_sql(schema: str, called: Iterable[str] = ()) -> str:
    """Return an expression: who owns a part of the ledger and is not trusted; null for nobody.

    Its parts are the schema, the tables, and the functions that are `called`.
    """
    named = ", ".join(literal(name) for name in TABLES)
    functions = ", ".join(literal(name) for name in ("", *called))
    return f"""({_OURS}
        select min(r.rolname::text) from (
            select n.nspowner from pg_catalog.pg_namespace n where n.nspname = {literal(schema)}
            union all
            select c.relowner from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where n.nspname = {literal(schema)} and c.relname in ({named})
            union all
            select p.proowner from pg_catalog.pg_proc p
            join pg_catalog.pg_namespace n on n.oid = p.pronamespace
            where n.nspname = {literal(schema)} and p.proname in ({functions})
        ) o(owner) join pg_catalog.pg_roles r on r.oid = o.owner where {_IS_STRANGE})"""


def harmless_sql(schema: str) -> str:
    """Return an expression: whether we may only read the ledger, and reading it runs nothing."""
    named = ", ".join(literal(name) for name in TABLES)
    return f"""not exists (
        select from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where n.nspname = {literal(schema)} and c.relname in ({named})
          and (c.relkind <> 'r' or c.relhasrules or c.relrowsecurity or c.relhassubclass
               or pg_catalog.has_table_privilege(c.oid, 'insert, update, delete')))"""


def fence_sql(schema: str) -> str:
    """Return a SELECT that fails (22012) where a stranger owns the schema or a table."""
    return f"select 1 / (case when {stranger_sql(schema)} is null then 1 else 0 end)"


def refused(schema: str, owner: str, user: str) -> DatabaseRefusedError:
    """Return what to raise (77) for a ledger that a stranger owns."""
    ledger, theirs, us = map(identifier, (schema, owner, user))
    return DatabaseRefusedError(
        f"the ledger in schema {schema} belongs to {owner}, and {user} is not a member of that "
        f"role: {owner} could forge what it says, and run code as {user}; if you deploy with that "
        f"role, connect as it or grant {theirs} to {us}; if nobody knows why it is there, drop "
        f"schema {ledger} cascade",
        exit_code=ExitCode.DENIED,
    )


def open_schemas(conn: Connection, endpoint: Endpoint) -> tuple[Finding, ...]:
    """Warn of roles that may create something in a schema of the operator's search_path."""
    rows = wire.ask_plainly(
        conn,
        f"""{keep_sql(endpoint)};
        {OUR_PATH};
        {_OURS}
        select n.nspname, coalesce(r.rolname::text, 'public')
        from pg_catalog.pg_namespace n
        cross join lateral pg_catalog.aclexplode(
            coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) a
        left join pg_catalog.pg_roles r on r.oid = a.grantee
        where n.nspname = any ({SCHEMAS}) and a.privilege_type = 'CREATE'
          and (a.grantee = 0 or {_IS_STRANGE})
        order by n.nspname, r.rolname""",
    )
    return tuple(
        Finding(
            "open-schema",
            f"{'every role' if role == 'public' else role} may create functions and operators in "
            f"schema {schema}, which is on the search_path: a name without a schema in your files "
            f"may call them, with the rights of {conn.info.user}",
            f"revoke create on schema {identifier(schema or '')} from "
            f"{'public' if role == 'public' else identifier(role or '')}",
        )
        for schema, role in rows
    )
