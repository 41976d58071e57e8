"""Objects that sync does not create; missing ones are reported, never ignored."""

from dataclasses import replace

from predeploy.contract.quoting import FIRST_USER_OID
from predeploy.schema.ddl import Outcome, not_addable
from predeploy.schema.entry import Entry, alone, attributes, order, own
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.schema_pair import SchemaPair

# Catalogs of objects that are in a schema, and the column with that schema.
_IN_SCHEMA = (
    ("pg_operator", "oprnamespace"),
    ("pg_opclass", "opcnamespace"),
    ("pg_opfamily", "opfnamespace"),
    ("pg_conversion", "connamespace"),
    ("pg_ts_parser", "prsnamespace"),
    ("pg_ts_template", "tmplnamespace"),
)
_OF_THE_DATABASE = (
    "pg_event_trigger", "pg_foreign_data_wrapper", "pg_foreign_server", "pg_language",
    "pg_publication", "pg_transform", "pg_am",
)  # fmt: skip


def plan(desired: Fact, live: Fact | None, _pair: SchemaPair) -> Outcome:
    """Report what is missing."""
    if live is None:
        why = "sync makes no objects of this kind"
        report = not_addable(desired, "unmodelled", why, "make it in a migration")
        yield replace(report, message=f"{desired.name} is missing and is not added: {why}")


def _part(catalog: str, schema: str, where: str = "true") -> str:
    """Return a query of the objects of one catalog: catalog, OID, schema and name."""
    return f"""select 'pg_catalog.{catalog}'::pg_catalog.regclass, x.oid, {schema},
            i.type || ' ' || i.identity
        from pg_catalog.{catalog} x, pg_catalog.pg_identify_object(
            'pg_catalog.{catalog}'::pg_catalog.regclass, x.oid, 0) i
        where x.oid >= {FIRST_USER_OID} and {where}
          and {own(catalog, "x.oid")} and {alone(catalog, "x.oid")}"""


OTHERS = (
    *(
        _part(
            catalog,
            f"(select n.nspname from pg_catalog.pg_namespace n where n.oid = x.{column})::text",
        )
        for catalog, column in _IN_SCHEMA
    ),
    _part(
        "pg_type",
        "(select n.nspname from pg_catalog.pg_namespace n where n.oid = x.typnamespace)::text",
        "x.typtype = 'b' and x.typcategory <> 'A'",
    ),
    *(_part(catalog, "''") for catalog in _OF_THE_DATABASE),
)

UNMODELLED = Entry(
    Kind.UNMODELLED,
    " union all ".join(
        f"""select o.schema, '', o.name, {attributes()}, {order("o.oid")}
        from ({other}) o(classid, oid, schema, name)"""
        for other in OTHERS
    ),
    plan,
)
