"""What a kind of object has to provide, and helpers for the SQL of its query.

A query yields (schema, relation, name, attributes as JSON, order); see `Fact`. It runs with an
empty search_path, so that PostgreSQL prints every name with its schema
(https://www.postgresql.org/docs/current/functions-info.html, pg_get_*def).
"""

from collections.abc import Callable
from dataclasses import dataclass

from predeploy.schema.ddl import Outcome
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.schema_pair import SchemaPair

FOREIGN = "foreign table"  # a table's `kind`


def nothing(_live: Fact, _pair: SchemaPair) -> Outcome:
    """Report nothing about an undeclared live object."""
    yield from ()


def no_twin(_desired: Fact, _live: Fact) -> bool:
    """Match by name alone."""
    return False


def on_the_same_relation(fact: Fact) -> tuple[str, ...]:
    """Return where to look for a twin: among the parts of the same relation."""
    return fact.key[:3]


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind: how it is read, how a desired one is made true, what undeclared ones mean.

    `plan` gets a desired fact and the live one of its name, or None. `is_twin` tells whether a live
    fact of another name is equivalent to the desired one; it is asked about facts with the same
    `twin_scope`.

    `every` is the query of all objects of the kind that have a name; those that fulfil `own` are
    facts of a schema, and the others belong to something else: an extension, a key, a parent.
    """

    kind: Kind
    every: str
    plan: Callable[[Fact, Fact | None, SchemaPair], Outcome]
    undeclared: Callable[[Fact, SchemaPair], Outcome] = nothing
    is_twin: Callable[[Fact, Fact], bool] = no_twin
    twin_scope: Callable[[Fact], tuple[str, ...]] = on_the_same_relation
    own: str = ""

    @property
    def query(self) -> str:
        """The query of those that are facts."""
        return f"{self.every} and {self.own}" if self.own else self.every


def attributes(**expressions: str) -> str:
    """Return an SQL expression for the JSON of attribute names (`_` for a blank) and their SQL."""
    pairs = ", ".join(f"'{name.replace('_', ' ')}', {sql}" for name, sql in expressions.items())
    return f"pg_catalog.json_strip_nulls(pg_catalog.json_build_object({pairs}))"


def flag(condition: str) -> str:
    """Return an SQL expression for an attribute that is either present or not."""
    return f"case when {condition} then 'true' end"


def order(*oids: str) -> str:
    """Return an SQL expression for the order of creation: the largest of several OIDs."""
    return f"greatest({', '.join(f'{oid}::bigint' for oid in oids)})"


def own(catalog: str, oid: str) -> str:
    """Return a condition: the object is not a member of an extension."""
    return f"""not exists (
        select from pg_catalog.pg_depend member
        where member.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass
          and member.objid = {oid} and member.deptype = 'e')"""


def alone(catalog: str, oid: str) -> str:
    """Return a condition: the object was not created along with another, as a range's casts are."""
    return f"""not exists (
        select from pg_catalog.pg_depend part
        where part.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass
          and part.objid = {oid} and part.deptype = 'i')"""


def name_of(oid: str) -> str:
    """Return an SQL expression for a relation's quoted, qualified name."""
    return f"""(select pg_catalog.format('%I.%I', rn.nspname, r.relname)
        from pg_catalog.pg_class r join pg_catalog.pg_namespace rn on rn.oid = r.relnamespace
        where r.oid = {oid})"""


OF_RELATION = """
    join pg_catalog.pg_class c on c.oid = {}
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace"""
OWN_RELATION = f"""c.relpersistence <> 't' and {own("pg_class", "c.oid")}"""
"""A condition: the relation c is neither temporary nor a member of an extension."""
