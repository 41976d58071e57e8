"""The one look before the first step: which names exist, and what earlier runs have noted."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from predeploy.contract.quoting import literal
from predeploy.contract.statement import Creatable
from predeploy.database.ledger import notes
from predeploy.database.server import wire
from predeploy.database.server.path import OWN_PATH, SCHEMAS, keep_sql
from predeploy.database.server.rows import typed
from predeploy.database.server.wire import Connection
from predeploy.judgment.delivery import NameLookup
from predeploy.settings import Settings

# By kind: whether an object of that name exists; v is the name sought.
_IN_SCOPE = f"""n.nspname !~ '^(pg_|information_schema$)'
    and case when v.schema <> '' then n.nspname = v.schema
             else v.is_anywhere or n.nspname = any ({SCHEMAS}) end"""
_PART = """pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relname = v.relation and {scope} and exists"""
_IS_THERE = {
    Creatable.COLUMN: f"""{_PART} (
        select from pg_catalog.pg_attribute a
        where a.attrelid = c.oid and not a.attisdropped and a.attname = v.name)""",
    Creatable.CONSTRAINT: f"""{_PART} (
        select from pg_catalog.pg_constraint k where k.conrelid = c.oid and k.conname = v.name)""",
    Creatable.INDEX: f"""{_PART} (
        select from pg_catalog.pg_class i
        where i.relnamespace = c.relnamespace and i.relname = v.name)""",
}
_RELATION = """pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relname = v.name and {scope}"""
_TYPE = """pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
    where t.typname = v.name and {scope}"""


@dataclass(frozen=True, slots=True)
class FirstLook:
    """The state before the first step.

    `there` are the names that were found; `newest` is the largest OID of a relation; `gaps` maps a
    file's name and the hash of its bytes to the skipped numbers that the file contains; `path`
    holds the schemas of the session's search_path.
    """

    there: frozenset[NameLookup] = frozenset()
    # Larger than any OID; see Attempt.
    newest: int = 1 << 32
    gaps: Mapping[tuple[str, str], str] = field(default_factory=dict)
    path: tuple[str, ...] = ()


def look(conn: Connection, settings: Settings, names: Collection[NameLookup]) -> FirstLook:
    """Look up all these names, in one round trip."""
    wanted = tuple(names)
    newest, path, gaps, there = wire.ask_all(
        conn,
        (
            "select max(oid)::bigint from pg_catalog.pg_class",
            f"select unnest({SCHEMAS})",
            notes.gaps_sql(settings.ledger_schema),
            _there_sql(wanted) if wanted else "select 0 where false",
        ),
        opening=(keep_sql(settings.endpoint), OWN_PATH),
    )
    ((newest_oid,),) = typed(tuple[int], newest)
    return FirstLook(
        frozenset(wanted[number] for (number,) in typed(tuple[int], there)),
        newest_oid,
        notes.parse_gaps(gaps),
        tuple(schema for (schema,) in typed(tuple[str], path)),
    )


def _there_sql(wanted: Collection[NameLookup]) -> str:
    values = ", ".join(
        f"({number}, {literal(a.kind.value)}, {literal(a.schema)}, {literal(a.relation)}, "
        f"{literal(a.name)}, {one.is_anywhere})"
        for number, one in enumerate(wanted)
        for a in (one.address,)
    )
    kinds = " ".join(
        f"when {literal(kind.value)} then exists (select from {query.format(scope=_IN_SCOPE)})"
        for kind, query in _IS_THERE.items()
    )
    relation, of_type = (query.format(scope=_IN_SCOPE) for query in (_RELATION, _TYPE))
    return f"""select v.number
        from (values {values}) v(number, kind, schema, relation, name, is_anywhere)
        where case v.kind {kinds}
              else exists (select from {relation})
                or v.kind = 'type' and exists (select from {of_type}) end"""
