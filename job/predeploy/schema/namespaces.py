"""Names that objects of several kinds share: one taken by one object is not free for another.

https://www.postgresql.org/docs/current/catalog-pg-class.html (relations, unique by name and schema)
and catalog-pg-type.html: every table, view and composite type takes a name in both.
"""

from collections.abc import Iterable

from predeploy.contract.quoting import identifier
from predeploy.schema.ddl import Report, not_addable
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.schema_pair import SchemaIndex

Name = tuple[str, str, str]

_ROWS = (Kind.TABLE.value, Kind.VIEW.value, Kind.MATERIALIZED_VIEW.value)
_TYPES = (Kind.ENUM.value, Kind.DOMAIN.value, Kind.RANGE.value)
_INDEXES = (Kind.INDEX.value, Kind.PARTITION_INDEX.value)
_WITH_INDEX = ("primary key", "unique", "exclude")


def names_of(fact: Fact) -> tuple[Name, ...]:
    """Return the names that an object takes: namespace, schema, name."""
    kind = fact.kind
    if kind in _ROWS:
        return (("relation", fact.schema, fact.relation), ("type", fact.schema, fact.relation))
    if kind == Kind.COMPOSITE.value:
        return (("relation", fact.schema, fact.name), ("type", fact.schema, fact.name))
    if kind == Kind.SEQUENCE.value:
        return (("relation", fact.schema, fact.relation),)
    is_constraint = kind == Kind.CONSTRAINT.value
    if kind in _INDEXES or (is_constraint and fact.get("type") in _WITH_INDEX):
        return (("relation", fact.schema, fact.name),)
    return (("type", fact.schema, fact.name),) if kind in _TYPES else ()


def takers(live: SchemaIndex, missing: Iterable[Fact]) -> dict[Name, Fact]:
    """Return the live objects that have a name which a missing object would take."""
    wanted = {name for fact in missing for name in names_of(fact)}
    if not wanted:
        return {}
    facts = live.facts.values()
    return {name: fact for fact in facts for name in names_of(fact) if name in wanted}


def refusal(missing: Fact, taken: dict[Name, Fact], desired: SchemaIndex) -> Report | None:
    """Return a report of a missing object whose name is taken; None if it is free."""
    others = [taken[name] for name in names_of(missing) if name in taken]
    # A constraint takes over a unique index of its name on its table.
    if not others or (
        missing.kind == Kind.CONSTRAINT.value
        and others[0].key == (Kind.INDEX.value, *missing.key[1:])
    ):
        return None
    if others[0].kind == Kind.PARTITION_INDEX.value:
        return _part_of_another(missing, others[0], desired)
    return not_addable(
        missing,
        "name-taken",
        f"{others[0].label} has that name",
        "rename or drop that one in a migration, or declare another name",
    )


def _part_of_another(missing: Fact, part: Fact, desired: SchemaIndex) -> Report:
    schema, table, index = part.listed("of")
    is_declared = desired.get(Kind.INDEX, schema, table, index) is not None
    so = "; take this one out of the files" if is_declared else ", which is not declared"
    dropped = f"DROP INDEX {identifier(schema, index)}"
    return not_addable(
        missing,
        "part-of-another",
        f"the index of that name is attached to {index} of {schema}.{table}{so}",
        f"declare {index}, or in a migration: {dropped}; that drops its parts, too, and the next "
        "run builds this one",
    )
