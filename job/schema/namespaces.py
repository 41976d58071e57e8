"""Names that objects of several kinds share: what is taken by one cannot be given to another.

https://www.postgresql.org/docs/current/catalog-pg-class.html (relations, unique by name and schema)
and catalog-pg-type.html: every table, view and composite type takes a name in both.
"""

from job.schema.ddl import Report, not_addable
from job.schema.facts import Fact
from job.schema.kind import Kind
from job.schema.sides import Side

Name = tuple[str, str, str]

_ROWS = (Kind.TABLE, Kind.VIEW, Kind.MATERIALIZED_VIEW)
_TYPES = (Kind.ENUM, Kind.DOMAIN, Kind.RANGE)
_WITH_INDEX = ("primary key", "unique", "exclude")


def names_of(fact: Fact) -> tuple[Name, ...]:
    """Return the names that an object takes: namespace, schema, name."""
    kind = Kind(fact.kind)
    if kind in _ROWS:
        return (("relation", fact.schema, fact.relation), ("type", fact.schema, fact.relation))
    if kind is Kind.COMPOSITE:
        return (("relation", fact.schema, fact.name), ("type", fact.schema, fact.name))
    if kind is Kind.SEQUENCE:
        return (("relation", fact.schema, fact.relation),)
    if kind is Kind.INDEX or (kind is Kind.CONSTRAINT and fact.get("type") in _WITH_INDEX):
        return (("relation", fact.schema, fact.name),)
    return (("type", fact.schema, fact.name),) if kind in _TYPES else ()


def takers(live: Side) -> dict[Name, Fact]:
    """Return who has which name."""
    return {name: fact for fact in live.facts.values() for name in names_of(fact)}


def refusal(missing: Fact, taken: dict[Name, Fact]) -> Report | None:
    """Report a missing object whose name another one has, or None."""
    others = [taken[name] for name in names_of(missing) if name in taken]
    # A unique index of its name on its table is what a constraint takes over.
    if not others or (
        missing.kind == Kind.CONSTRAINT.value
        and others[0].key == (Kind.INDEX.value, *missing.key[1:])
    ):
        return None
    return not_addable(
        missing,
        "name-taken",
        f"{others[0].label} has that name",
        "rename or drop that one by a migration, or declare another name",
    )
