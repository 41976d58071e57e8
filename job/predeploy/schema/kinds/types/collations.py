"""Collations: the order of texts, and the provider of its rules."""

from predeploy.contract.quoting import FIRST_USER_OID, literal
from predeploy.schema.ddl import Outcome, create_only, qualified
from predeploy.schema.entry import Entry, attributes, flag, order, own
from predeploy.schema.facts import FLAG, Fact
from predeploy.schema.kind import Kind
from predeploy.schema.schema_pair import SchemaPair

_TEXTS = frozenset(("locale", "lc collate", "lc ctype", "rules"))


def plan(desired: Fact, live: Fact | None, _pair: SchemaPair) -> Outcome:
    """Create it; only report one with other rules, because indexes are sorted by them."""
    options = ", ".join(_option(name, value) for name, value in desired.attributes)
    return create_only(
        desired,
        live,
        "collation-differs",
        "PostgreSQL cannot change a collation; make another in a migration",
        f"CREATE COLLATION {qualified(desired)} ({options})",
    )


def _option(name: str, value: str) -> str:
    if value == FLAG:
        return "deterministic = false"
    return f"{name.replace(' ', '_')} = {literal(value) if name in _TEXTS else value}"


# The column with the locale depends on the provider and the server's version.
_LOCALE = """coalesce(pg_catalog.to_jsonb(x) ->> 'colllocale',
    pg_catalog.to_jsonb(x) ->> 'colliculocale',
    case when x.collcollate = x.collctype then x.collcollate end)"""
_APART = "case when x.collcollate <> x.collctype then x.{} end"

COLLATION = Entry(
    Kind.COLLATION,
    f"""select n.nspname, '', x.collname, {
        attributes(
            provider="case x.collprovider when 'i' then 'icu' when 'b' then 'builtin' "
            "when 'c' then 'libc' end",
            locale=_LOCALE,
            lc_collate=_APART.format("collcollate"),
            lc_ctype=_APART.format("collctype"),
            nondeterministic=flag("not x.collisdeterministic"),
            rules="pg_catalog.to_jsonb(x) ->> 'collicurules'",
        )
    }, {order("x.oid")}
        from pg_catalog.pg_collation x
        join pg_catalog.pg_namespace n on n.oid = x.collnamespace
        where x.oid >= {FIRST_USER_OID} and {own("pg_collation", "x.oid")}""",
    plan,
)
