"""The names of NOT NULL constraints, which are facts only if a file names them.

PostgreSQL stores NOT NULL as a constraint since version 18 for columns, and since 17 for domains.
On all versions, whether a column or domain is NOT NULL is part of its own fact, and the statement
that sets NOT NULL also sets the name.
https://www.postgresql.org/docs/current/catalog-pg-constraint.html
"""

from predeploy.schema.ddl import Outcome
from predeploy.schema.entry import OF_RELATION, OWN_RELATION, Entry, attributes, flag, order, own
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.schema_pair import SchemaPair


def plan(_desired: Fact, _live: Fact | None, _pair: SchemaPair) -> Outcome:
    """Plan nothing: the plan of the column or domain covers its NOT NULL, including the name."""
    yield from ()


def is_twin(desired: Fact, live: Fact) -> bool:
    """Whether both belong to the same column or domain, which has at most one NOT NULL."""
    return desired.is_alike(live, "column", "domain")


_IS_NAMED_LIKE_A_PARENTS = """exists (select from pg_catalog.pg_inherits h
    join pg_catalog.pg_constraint p on p.conrelid = h.inhparent and p.contype = 'n'
      and p.conname = k.conname
    where h.inhrelid = k.conrelid)"""

NOT_NULL = Entry(
    Kind.NOT_NULL,
    f"""select n.nspname, c.relname, k.conname, {
        attributes(
            column="a.attname",
            inherited=flag("k.coninhcount > 0"),
            name_of_its_own=flag(f"k.coninhcount > 0 and not {_IS_NAMED_LIKE_A_PARENTS}"),
        )
    }, {order("k.oid")}
        from pg_catalog.pg_constraint k {OF_RELATION.format("k.conrelid")}
        join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
        where k.contype = 'n' and {OWN_RELATION}
          and {own("pg_constraint", "k.oid")}
        union all
        select n.nspname, t.typname, k.conname, {attributes(domain="'true'")}, {order("k.oid")}
        from pg_catalog.pg_constraint k
        join pg_catalog.pg_type t on t.oid = k.contypid
        join pg_catalog.pg_namespace n on n.oid = t.typnamespace
        where k.contype = 'n' and {own("pg_type", "t.oid")}""",
    plan,
    is_twin=is_twin,
)
