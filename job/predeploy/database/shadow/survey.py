"""Reads what a shadow depends on from the live database, in one message."""

from collections.abc import Sequence
from dataclasses import dataclass

from predeploy.contract.quoting import literal
from predeploy.database.server import wire
from predeploy.database.server.path import OWN_PATH
from predeploy.database.server.rows import typed
from predeploy.database.server.wire import Connection
from predeploy.sql.parser.names import Name

# The catalogs of objects that have a schema, and their columns for the name and the schema.
IN_SCHEMAS = (
    ("pg_class", "relname", "relnamespace"),
    ("pg_type", "typname", "typnamespace"),
    ("pg_proc", "proname", "pronamespace"),
    ("pg_operator", "oprname", "oprnamespace"),
    ("pg_opclass", "opcname", "opcnamespace"),
    ("pg_opfamily", "opfname", "opfnamespace"),
    ("pg_collation", "collname", "collnamespace"),
    ("pg_ts_config", "cfgname", "cfgnamespace"),
    ("pg_ts_dict", "dictname", "dictnamespace"),
)


# regrole parses a name as SQL does, so it must be quoted.
_OUR_ROLE = "pg_catalog.quote_ident(current_user)::pg_catalog.regrole"


@dataclass(frozen=True, slots=True)
class LiveSchema:
    """A managed schema that exists. `is_ours`: the connected role has its owner's rights."""

    name: str
    oid: int
    owner: str
    is_ours: bool


@dataclass(frozen=True, slots=True)
class Survey:
    """The live database as far as a shadow depends on it.

    `extensions` are (name, schema), ordered by schema; `members` are the (schema, name) of
    extension members in a managed schema; `usual_rights` are the statements that undo the role's
    own global default privileges. `event_triggers` describes the enabled ones whose function is in
    a managed schema. `lock_slots` is the number of sessions that share the lock table, `locks_each`
    the setting max_locks_per_transaction.
    """

    schemas: tuple[LiveSchema, ...]
    usual_rights: tuple[str, ...]
    may_create_schemas: bool
    may_create_databases: bool
    extensions: tuple[tuple[str, str], ...]
    members: frozenset[Name]
    event_triggers: tuple[str, ...]
    locks_each: int
    lock_slots: int

    @property
    def extension_schemas(self) -> tuple[str, ...]:
        """The schemas that must be on the search_path for extensions, in name order."""
        return tuple(dict.fromkeys(s for _, s in self.extensions if s != "pg_catalog"))

    @property
    def lock_capacity(self) -> int:
        """How many locks fit in the server's lock table, by its settings."""
        return self.locks_each * self.lock_slots


def survey(conn: Connection, schemas: Sequence[str]) -> Survey:
    """Read the live database, on an idle connection, without changing it."""
    live, rights, extensions, members, triggers, sizes, usual = wire.ask_all(
        conn, _questions(schemas), opening=(OWN_PATH,)
    )
    ((may_create_schemas, may_create_databases),) = typed(tuple[bool, bool], rights)
    ((locks_each, lock_slots),) = typed(tuple[int, int], sizes)
    return Survey(
        schemas=tuple(typed(LiveSchema, live)),
        usual_rights=tuple(sql for (sql,) in typed(tuple[str], usual)),
        may_create_schemas=may_create_schemas,
        may_create_databases=may_create_databases,
        extensions=tuple(typed(tuple[str, str], extensions)),
        members=frozenset(typed(tuple[str, str], members)),
        event_triggers=tuple(text for (text,) in typed(tuple[str], triggers)),
        locks_each=locks_each,
        lock_slots=lock_slots,
    )


def _questions(schemas: Sequence[str]) -> tuple[str, ...]:
    managed = f"n.nspname in ({', '.join(map(literal, schemas))})"
    members = " union ".join(
        f"select n.nspname::text, x.{name}::text from pg_catalog.pg_depend d "
        f"join pg_catalog.{catalog} x on x.oid = d.objid "
        f"join pg_catalog.pg_namespace n on n.oid = x.{schema} "
        f"where d.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass "
        f"and d.deptype = 'e' and {managed}"
        for catalog, name, schema in IN_SCHEMAS
    )
    return (
        f"""select n.nspname, n.oid, pg_catalog.pg_get_userbyid(n.nspowner),
                   pg_catalog.pg_has_role(n.nspowner, 'usage')
            from pg_catalog.pg_namespace n where {managed} order by n.oid""",
        """select pg_catalog.has_database_privilege(pg_catalog.current_database(), 'create'),
                  rolcreatedb or rolsuper
           from pg_catalog.pg_roles where rolname = current_user""",
        """select e.extname, n.nspname from pg_catalog.pg_extension e
           join pg_catalog.pg_namespace n on n.oid = e.extnamespace
           order by n.nspname""",
        members,
        f"""select pg_catalog.format('%s (function %I.%I)', e.evtname, n.nspname, p.proname)
            from pg_catalog.pg_event_trigger e join pg_catalog.pg_proc p on p.oid = e.evtfoid
            join pg_catalog.pg_namespace n on n.oid = p.pronamespace
            where e.evtenabled <> 'D' and {managed} order by e.evtname""",
        """select pg_catalog.current_setting('max_locks_per_transaction'),
                  pg_catalog.current_setting('max_connections')::int
                  + pg_catalog.current_setting('max_prepared_transactions')::int""",
        f"""with ours(objects, is_open, acl) as (
               select k.objects, k.is_open, d.defaclacl from pg_catalog.pg_default_acl d
               join (values ('r', 'tables', false), ('S', 'sequences', false),
                   ('f', 'routines', true), ('T', 'types', true), ('n', 'schemas', false)
               ) k(type, objects, is_open) on k.type = d.defaclobjtype::text
               where d.defaclnamespace = 0 and d.defaclrole = {_OUR_ROLE})
           select distinct pg_catalog.format(
                   'alter default privileges revoke all on %s from %s', o.objects,
                   case when a.grantee = 0 then 'public' else pg_catalog.quote_ident(r.rolname) end)
               from ours o cross join pg_catalog.aclexplode(o.acl) a
               left join pg_catalog.pg_roles r on r.oid = a.grantee
               where a.grantee <> {_OUR_ROLE}
                 and not (o.is_open and a.grantee = 0)
           union all
           select pg_catalog.format('alter default privileges grant all on %s to public', objects)
               from ours where is_open and not exists (
                   select from pg_catalog.aclexplode(acl) a where a.grantee = 0)""",
    )
