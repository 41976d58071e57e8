"""What has to be known of the live database before a shadow of it is made: one message."""

from collections.abc import Sequence
from dataclasses import dataclass

from job.database import wire
from job.database.wire import Connection, literal
from job.statements.targets import Name

# Where the members of an extension have their names: catalog, column of the name, of the schema.
_NAMED = (
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


@dataclass(frozen=True, slots=True)
class LiveSchema:
    """A managed schema that is there. `is_ours`: our role has its owner's rights."""

    name: str
    oid: int
    owner: str
    is_ours: bool


@dataclass(frozen=True, slots=True)
class Survey:
    """The live database as far as a shadow depends on it.

    `extension_schemas` hold the extensions, in name order; `members` are the (schema, name) of
    what belongs to an extension in a managed schema. `event_triggers` are the enabled ones whose
    function lies in a managed schema, for people. `lock_slots` is the number of sessions that
    share the lock table, `locks_each` its setting max_locks_per_transaction.
    """

    schemas: tuple[LiveSchema, ...]
    may_create_schemas: bool
    extensions: frozenset[str]
    extension_schemas: tuple[str, ...]
    members: frozenset[Name]
    event_triggers: tuple[str, ...]
    locks_each: int
    lock_slots: int

    @property
    def lock_capacity(self) -> int:
        """How many locks the server has room for, by its settings."""
        return self.locks_each * self.lock_slots


def survey(conn: Connection, schemas: Sequence[str]) -> Survey:
    """Look at the live database. It is read only, outside a transaction of ours."""
    answer = wire.send(conn, ";\n".join(_questions(schemas)))
    if answer.error is not None:
        with wire.translated(conn):
            raise answer.error
    live, rights, extensions, members, triggers, sizes = (answer.rows(i) for i in range(6))
    return Survey(
        schemas=tuple(
            LiveSchema(name or "", int(oid or 0), owner or "", is_ours == "t")
            for name, oid, owner, is_ours in live
        ),
        may_create_schemas=rights == [("t",)],
        extensions=frozenset(name or "" for name, _ in extensions),
        extension_schemas=tuple(dict.fromkeys(s for _, s in extensions if s and s != "pg_catalog")),
        members=frozenset((schema or "", name or "") for schema, name in members),
        event_triggers=tuple(text or "" for (text,) in triggers),
        locks_each=int(sizes[0][0] or 0),
        lock_slots=int(sizes[0][1] or 0),
    )


def _questions(schemas: Sequence[str]) -> tuple[str, ...]:
    managed = f"n.nspname in ({', '.join(map(literal, schemas))})"
    members = " union ".join(
        f"select n.nspname::text, x.{name}::text from pg_catalog.pg_depend d "
        f"join pg_catalog.{catalog} x on x.oid = d.objid "
        f"join pg_catalog.pg_namespace n on n.oid = x.{schema} "
        f"where d.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass "
        f"and d.deptype = 'e' and {managed}"
        for catalog, name, schema in _NAMED
    )
    return (
        f"""select n.nspname, n.oid, pg_catalog.pg_get_userbyid(n.nspowner),
                   pg_catalog.pg_has_role(n.nspowner, 'usage')
            from pg_catalog.pg_namespace n where {managed} order by n.oid""",
        "select pg_catalog.has_database_privilege(pg_catalog.current_database(), 'create')",
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
    )
