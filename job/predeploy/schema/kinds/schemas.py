"""Schemas and extensions."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from predeploy.contract.quoting import identifier
from predeploy.schema.ddl import Outcome, Phase, change, drift, warning
from predeploy.schema.entry import Entry, attributes, order
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.schema_pair import SchemaPair


def plan_schema(desired: Fact, live: Fact | None, _pair: SchemaPair) -> Outcome:
    """Create it. It has no attributes that could differ."""
    if live is None:
        yield change(
            desired, Phase.TOGETHER, f"CREATE SCHEMA IF NOT EXISTS {identifier(desired.schema)}"
        )


def plan_extension(desired: Fact, live: Fact | None, pair: SchemaPair) -> Outcome:
    """Create it before anything uses it; another schema is drift, another version a warning."""
    schema, name = identifier(desired.get("schema")), identifier(desired.name)
    if live is None:
        is_there = pair.live.get(Kind.SCHEMA, desired.get("schema"), "")
        # An extension's script may need a superuser: the error then says so.
        yield change(
            desired,
            Phase.BEFORE,
            *(() if is_there else (f"CREATE SCHEMA IF NOT EXISTS {schema}",)),
            f"CREATE EXTENSION IF NOT EXISTS {name} WITH SCHEMA {schema}",
        )
        return
    if desired.get("schema") != live.get("schema"):
        yield drift(
            desired,
            live,
            "extension-elsewhere",
            f"it is in schema {live.get('schema')}, and declared in {desired.get('schema')}",
            f"in a migration: ALTER EXTENSION {name} SET SCHEMA {schema}",
            names=("schema",),
        )
    if desired.get("version") != live.get("version"):
        yield warning(
            live,
            "extension-differs",
            f"extension {live.name} has version {live.get('version')}, declared "
            f"{desired.get('version')}",
            "ALTER EXTENSION … UPDATE in a migration when the app needs it",
        )


def placed(facts: Iterable[Fact], homes: Mapping[str, str]) -> frozenset[Fact]:
    """Return the facts with each extension in the schema that the files give for it.

    `homes` maps extensions to schemas. A shadow leaves out the CREATE EXTENSION of one that the
    database has, in whatever schema that is.
    """
    return frozenset(
        replace(
            fact,
            attributes=tuple(
                (name, homes[fact.name] if name == "schema" else value)
                for name, value in fact.attributes
            ),
        )
        if fact.kind == Kind.EXTENSION.value and fact.name in homes
        else fact
        for fact in facts
    )


SCHEMA = Entry(
    Kind.SCHEMA,
    f"""select n.nspname, '', '', {attributes()}, {order("n.oid")}
        from pg_catalog.pg_namespace n where n.nspname !~ '^(pg_|information_schema$)'""",
    plan_schema,
)

EXTENSION = Entry(
    Kind.EXTENSION,
    f"""select '', '', e.extname,
               {attributes(schema="n.nspname", version="e.extversion")}, {order("e.oid")}
        from pg_catalog.pg_extension e
        join pg_catalog.pg_namespace n on n.oid = e.extnamespace
        where n.nspname <> 'pg_catalog'""",
    plan_extension,
)
