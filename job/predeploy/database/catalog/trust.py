"""The trusted owners of a ledger: the connected role, roles whose rights it has, superusers.

The owner of an object that predeploy reads or calls can forge it and have code run with predeploy's
rights: by a function, a trigger, a view in place of a table, a policy. PostgreSQL skips membership
checks for superusers, so memberships are read here: a superuser trusts only superusers and the
roles granted to it.
"""

from collections.abc import Iterable

from predeploy.contract.errors import DatabaseRefusedError
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.quoting import identifier, literal

TABLES = ("meta", "migration", "run", "declared", "state")
"""The tables of a ledger, the one by which it is known first."""

# Since PostgreSQL 16 a role's creator is a member of it without its rights: that is no trust.
OURS = """with recursive ours(oid) as (
    select r.oid from pg_catalog.pg_roles r where r.rolname = current_user
    union
    select m.roleid from ours join pg_catalog.pg_auth_members m on m.member = ours.oid
    where coalesce((to_jsonb(m) ->> 'inherit_option')::bool, true)
       or coalesce((to_jsonb(m) ->> 'set_option')::bool, true))"""
# Its only member is the owner of the current database, which no catalog records.
_AS_MEMBER = """case when r.rolname = 'pg_database_owner' then (
        select d.datdba from pg_catalog.pg_database d where d.datname = current_database())
    else r.oid end"""
IS_STRANGE = f"""not exists (
        select from pg_catalog.pg_roles t where t.oid = ({_AS_MEMBER})
        and (t.rolsuper or t.oid in (select ours.oid from ours)))"""


def stranger_sql(schema: str, called: Iterable[str] = ()) -> str:
    """Return an SQL expression: an untrusted role that owns part of the ledger, or NULL.

    The parts are the schema, the tables, and the functions named in `called`.
    """
    named = ", ".join(literal(name) for name in TABLES)
    functions = ", ".join(literal(name) for name in ("", *called))
    return f"""({OURS}
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
        ) o(owner) join pg_catalog.pg_roles r on r.oid = o.owner where {IS_STRANGE})"""


def harmless_sql(schema: str) -> str:
    """Return an SQL expression: the role may only read the ledger, and reading it runs no code."""
    named = ", ".join(literal(name) for name in TABLES)
    return f"""not exists (
        select from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where n.nspname = {literal(schema)} and c.relname in ({named})
          and (c.relkind <> 'r' or c.relhasrules or c.relrowsecurity or c.relhassubclass
               or pg_catalog.has_table_privilege(c.oid, 'insert, update, delete')))"""


def fence_sql(schema: str) -> str:
    """Return a SELECT that fails (22012) if an untrusted role owns the schema or a table."""
    return f"select 1 / (case when {stranger_sql(schema)} is null then 1 else 0 end)"


def refused(schema: str, owner: str, user: str) -> DatabaseRefusedError:
    """Return the error (77) for a ledger owned by an untrusted role."""
    ledger, theirs, us = map(identifier, (schema, owner, user))
    return DatabaseRefusedError(
        f"the ledger in schema {schema} belongs to {owner}, and {user} is not a member of that "
        f"role: {owner} could forge what it says, and run code as {user}; if you deploy with that "
        f"role, connect as it or grant {theirs} to {us}; if it is not yours, drop "
        f"schema {ledger} cascade",
        exit_code=ExitCode.DENIED,
    )
