"""The rich schema, rows for it, and changes that somebody may have made to it by hand."""

from pathlib import Path

from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind

_SCHEMAS = Path(__file__).parent / "schemas"
RICH = (_SCHEMAS / "rich.sql").read_text()
ROWS = (_SCHEMAS / "rich_rows.sql").read_text()
# The first paragraph of the file is a description of it.
CHANGES = tuple((_SCHEMAS / "by_hand.sql").read_text().strip().split("\n\n")[1:])

DROPS = {
    Kind.SCHEMA: "drop schema {schema} cascade",
    Kind.ENUM: "drop type {schema}.{name} cascade",
    Kind.DOMAIN: "drop domain {schema}.{name} cascade",
    Kind.DOMAIN_CONSTRAINT: "alter domain {schema}.{relation} drop constraint {name} cascade",
    Kind.COMPOSITE: "drop type {schema}.{name} cascade",
    Kind.RANGE: "drop type {schema}.{name} cascade",
    Kind.SEQUENCE: "drop sequence {schema}.{relation} cascade",
    Kind.TABLE: "drop table {schema}.{relation} cascade",
    Kind.COLUMN: "alter table {schema}.{relation} drop column {name} cascade",
    Kind.INDEX: "drop index {schema}.{name} cascade",
    Kind.CONSTRAINT: "alter table {schema}.{relation} drop constraint {name} cascade",
    Kind.VIEW: "drop view {schema}.{relation} cascade",
    Kind.MATERIALIZED_VIEW: "drop materialized view {schema}.{relation} cascade",
    Kind.ROUTINE: "drop routine {schema}.{signature} cascade",
    Kind.AGGREGATE: "drop aggregate {schema}.{signature} cascade",
    Kind.COLLATION: "drop collation {schema}.{name} cascade",
    Kind.TEXT_SEARCH_DICTIONARY: "drop text search dictionary {schema}.{name} cascade",
    Kind.TEXT_SEARCH_CONFIGURATION: "drop text search configuration {schema}.{name} cascade",
    Kind.CAST: "drop cast {signature} cascade",
    Kind.TRIGGER: "drop trigger {name} on {schema}.{relation}",
    Kind.RULE: "drop rule {name} on {schema}.{relation}",
    Kind.POLICY: "drop policy {name} on {schema}.{relation}",
    Kind.STATISTICS: "drop statistics {schema}.{name}",
    Kind.COMMENT: "comment on {on} is null",
}


def drop_sql(fact: Fact) -> str:
    """Return the statement that drops the object of a fact with everything that depends on it."""
    parts = {
        part: '"' + getattr(fact, part).replace('"', '""') + '"'
        for part in ("schema", "relation", "name")
    }
    parts["schema"] = fact.get("in") or parts["schema"]
    return DROPS[Kind(fact.kind)].format(**parts, signature=fact.name, on=fact.get("on"))


def droppable(desired: frozenset[Fact]) -> list[Fact]:
    """Return the facts whose objects can be dropped separately, sorted by key."""
    views = {(f.schema, f.relation) for f in desired if "view" in f.kind}
    return [
        fact
        for fact in sorted(desired, key=lambda fact: fact.key)
        if Kind(fact.kind) in DROPS
        and not fact.get("inherited")
        and not (fact.kind == "column" and (fact.schema, fact.relation) in views)
    ]
