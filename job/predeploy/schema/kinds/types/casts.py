"""Casts. They have no schema: a cast belongs to its source and target types."""

from predeploy.contract.quoting import FIRST_USER_OID
from predeploy.schema.ddl import Outcome, create_only
from predeploy.schema.entry import Entry, alone, attributes, order, own
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.programs.routines import SIGNATURE
from predeploy.schema.schema_pair import SchemaPair

# A type in a schema that a shadow has moved aside is the live one, and so are its casts.
PUT_ASIDE = "^__predeploy_[0-9a-f]{12}_"


def plan(desired: Fact, live: Fact | None, _pair: SchemaPair) -> Outcome:
    """Create it; only report one with another function or context."""
    cast = f"CAST {desired.name} {desired.get('by')}{desired.get('where')}"
    return create_only(
        desired,
        live,
        "cast-differs",
        f"in a migration: DROP CAST {desired.name}; CREATE {cast}",
        f"CREATE {cast}",
        what=f"{live.get('by')}{live.get('where')}" if live else "",
    )


def _is_live(type_oid: str) -> str:
    return f"""exists (
        select from pg_catalog.pg_type t
        join pg_catalog.pg_type e
          on e.oid = case when t.typcategory = 'A' then t.typelem else t.oid end
        join pg_catalog.pg_namespace n on n.oid = e.typnamespace
        where t.oid = {type_oid} and n.nspname ~ '{PUT_ASIDE}' and {own("pg_type", "e.oid")})"""


_FUNCTION = f"""(select pg_catalog.format('WITH FUNCTION %I.%s', n.nspname, {SIGNATURE})
    from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where p.oid = x.castfunc)"""

CAST_NAME = """pg_catalog.format('(%s AS %s)', pg_catalog.format_type(x.castsource, null),
    pg_catalog.format_type(x.casttarget, null))"""

CAST = Entry(
    Kind.CAST,
    f"""select '', '', {CAST_NAME}, {
        attributes(
            by=f"case x.castmethod when 'b' then 'WITHOUT FUNCTION' when 'i' then 'WITH INOUT' "
            f"else {_FUNCTION} end",
            where="case x.castcontext when 'a' then ' AS ASSIGNMENT' when 'i' then ' AS IMPLICIT' "
            "end",
        )
    }, {order("x.oid")}
        from pg_catalog.pg_cast x
        where x.oid >= {FIRST_USER_OID} and {own("pg_cast", "x.oid")} and {
        alone("pg_cast", "x.oid")
    }
          and not {_is_live("x.castsource")} and not {_is_live("x.casttarget")}""",
    plan,
)
