"""Namespaces that objects of several kinds share: a name that one has is not free for another.

https://www.postgresql.org/docs/current/catalog-pg-class.html (relations, unique by name and schema)
and catalog-pg-type.html: every table, view and composite type takes a name in both.
"""

from collections.abc import Iterable

from predeploy.contract.quoting import identifier
from predeploy.schema.ddl import Report, not_addable
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.needs import PARTS
from predeploy.schema.schema_pair import SchemaIndex

Name = tuple[str, str, str]

_ROWS = (Kind.TABLE.value, Kind.VIEW.value, Kind.MATERIALIZED_VIEW.value)
_TYPES = (Kind.ENUM.value, Kind.DOMAIN.value, Kind.RANGE.value)
INDEXES = (Kind.INDEX.value, Kind.PARTITION_INDEX.value)
_CONSTRAINTS = (Kind.CONSTRAINT.value, Kind.PARTITION_CONSTRAINT.value)
WITH_INDEX = ("primary key", "unique", "exclude")


def names_of(fact: Fact) -> tuple[Name, ...]:
    """Return the names that an object takes: namespace, schema, name."""
    kind = fact.kind
    if kind in _ROWS:
        return (("relation", fact.schema, fact.relation), ("type", fact.schema, fact.relation))
    if kind == Kind.COMPOSITE.value:
        return (("relation", fact.schema, fact.name), ("type", fact.schema, fact.name))
    if kind == Kind.SEQUENCE.value:
        return (("relation", fact.schema, fact.relation),)
    if kind in INDEXES:
        return (("relation", fact.schema, fact.name),)
    if kind in _CONSTRAINTS:
        own = (("constraint", f"{fact.schema}.{fact.relation}", fact.name),)
        is_relation = fact.get("type") in WITH_INDEX
        return (*own, ("relation", fact.schema, fact.name)) if is_relation else own
    return (("type", fact.schema, fact.name),) if kind in _TYPES else ()


def takers(live: SchemaIndex, missing: Iterable[Fact]) -> dict[Name, Fact]:
    """Return the live objects that already have the name of a missing object, by that name."""
    wanted = {name for fact in missing for name in names_of(fact)}
    if not wanted:
        return {}
    facts = live.facts.values()
    return {name: fact for fact in facts for name in names_of(fact) if name in wanted}


def refusal(missing: Fact, taken: dict[Name, Fact], desired: SchemaIndex) -> Report | None:
    """Return a report of a missing object whose name is taken; None if the name is free.

    None also if the missing object takes over the one that has the name.
    """
    others = [taken[name] for name in names_of(missing) if name in taken]
    if not others or _is_taken_over(others[0], missing):
        return None
    if others[0].kind in PARTS:
        return _part_of_another(missing, others[0], desired)
    return not_addable(
        missing,
        "name-taken",
        f"{others[0].label} has that name",
        "rename or drop that one in a migration, or declare another name",
    )


def _is_taken_over(other: Fact, missing: Fact) -> bool:
    """Whether the missing object takes over the one that has the name, such as a key an index."""
    if other.key[1:] != missing.key[1:]:
        return False
    if missing.kind == Kind.CONSTRAINT.value:
        return other.kind == Kind.INDEX.value
    is_own = missing.kind in PARTS and other.kind not in PARTS
    return is_own and missing.is_alike(other, "unique", "definition", "type", "index")


def _part_of_another(missing: Fact, part: Fact, desired: SchemaIndex) -> Report:
    schema, table, name = part.listed("of")
    kind = Kind.INDEX if part.kind in INDEXES else Kind.CONSTRAINT
    is_declared = desired.get(kind, schema, table, name) is not None
    so = "; take this one out of the files" if is_declared else ", which is not declared"
    dropped = f"ALTER TABLE {identifier(schema, table)} DROP CONSTRAINT {identifier(name)}"
    if kind is Kind.INDEX:
        dropped = f"DROP INDEX {identifier(schema, name)}"
    return not_addable(
        missing,
        "part-of-another",
        f"the {kind.value} of that name is attached to {name} of {schema}.{table}{so}",
        f"declare {name}, or in a migration: {dropped}; that drops its parts, too, and the next "
        "run builds this one",
    )
