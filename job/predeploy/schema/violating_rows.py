"""The query for the rows that violate a constraint or a unique index."""

import re
from collections.abc import Iterator

from predeploy.contract.quoting import identifier
from predeploy.schema.ddl import relation
from predeploy.schema.facts import Fact
from predeploy.schema.keys import NAME, elements
from predeploy.schema.kind import Kind
from predeploy.schema.schema_pair import SchemaIndex

_NAMES = rf"\(({NAME}(?:, (?:PERIOD )?{NAME})*)\)"
# As pg_get_constraintdef prints them.
_FOREIGN_KEY = re.compile(rf"FOREIGN KEY {_NAMES} REFERENCES ({NAME}\.{NAME}|{NAME}){_NAMES}")
_CHECK = re.compile(r"CHECK (\(.*\))", re.DOTALL)
_VALUE = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\bVALUE\b""")
_PERIOD = "PERIOD "
_OVERLAPS = " WITHOUT OVERLAPS"
_WITH = " WITH "
_NULLS_ALIKE = "NULLS NOT DISTINCT"


def violating_rows(fact: Fact, live: SchemaIndex) -> str:
    """Return the query; empty if the fact constrains no rows.

    `live` tells which columns hold a domain's values; each column has a separate query.
    """
    table, definition = relation(fact), fact.get("definition")
    if fact.kind == Kind.DOMAIN_CONSTRAINT.value:
        return "; ".join(_values(fact, definition, live))
    if fact.kind == Kind.COLUMN.value:
        return _nulls(fact, live)
    if match := _CHECK.match(definition):
        return f"select * from {table} where not {match[1]}"
    if match := _FOREIGN_KEY.match(definition):
        return _orphans(table, *match.groups())
    return _alike(fact, table, definition)


def _alike(key: Fact, table: str, definition: str) -> str:
    """Return the query for duplicates that a key, a unique index or an exclusion forbids."""
    if definition.startswith("EXCLUDE ") or _OVERLAPS in definition:
        return _clashes(table, definition)
    if key.get("type") in {"unique", "primary key"} or key.get("unique"):
        return _twice(key, table, key.get("index") or definition)
    return ""


def _nulls(column: Fact, live: SchemaIndex) -> str:
    if column.key in live.facts:
        return f"select * from {relation(column)} where {identifier(column.name)} is null"
    if column.get("generated") and column.get("not null"):
        return f"select * from {relation(column)} where ({column.get('expression')}) is null"
    return ""


def _twice(key: Fact, table: str, definition: str) -> str:
    """Return the query for duplicate values; NULLs count only if the key says so."""
    found, rest = elements(definition)
    if not found:
        return ""
    _, _, condition = rest.partition(" WHERE ")
    conditions = [condition] if condition else []
    having = "count(*) > 1"
    if key.get("type") == "primary key":
        having = " or ".join([having, *(f"{element} is null" for element in found)])
    elif _NULLS_ALIKE not in rest:
        conditions += [f"{element} is not null" for element in found]
    where = f" where {' and '.join(conditions)}" if conditions else ""
    places = ", ".join(str(number) for number in range(1, len(found) + 1))
    return (
        f"select {', '.join(found)}, count(*) from {table}{where} group by {places} having {having}"
    )


def _clashes(table: str, definition: str) -> str:
    """Return the query for pairs of rows that an exclusion constraint or temporal key forbids."""
    found, rest = elements(definition, whole=True)
    _, _, condition = rest.partition(" WHERE ")
    pairs = []
    for element in found:
        what, _, operator = element.rpartition(_WITH)
        if element.endswith(_OVERLAPS):
            what, operator = element.removesuffix(_OVERLAPS), "&&"
        what, operator = (what, operator) if what else (element, "=")
        if not re.fullmatch(NAME, what):
            return ""
        pairs.append(f"a.{what} {operator} b.{what}")
    rows = f"(select *, tableoid, ctid from {table}{f' where {condition}' if condition else ''})"
    # Each pair once; tableoid, because partitions share values of ctid.
    order = "(a.tableoid, a.ctid) < (b.tableoid, b.ctid)"
    return f"select a.*, b.* from {rows} a join {rows} b on {' and '.join([*pairs, order])}"


def _values(constraint: Fact, definition: str, live: SchemaIndex) -> Iterator[str]:
    """Yield queries for a domain's values, each of which its check calls VALUE."""
    check, domain = _CHECK.match(definition), f"{constraint.schema}.{constraint.relation}"
    for column in live.all(Kind.COLUMN):
        is_stored = live.get(Kind.TABLE, column.schema, column.relation) is not None
        # The query of a parent's column finds the values in its children, too.
        is_own = is_stored and not column.get("inherited")
        if check and is_own and column.get("type").replace('"', "") == domain:
            name = identifier(column.name)
            asked = _VALUE.sub(lambda at, n=name: n if at[0] == "VALUE" else at[0], check[1])
            yield f"select * from {relation(column)} where not {asked}"


def _orphans(table: str, columns: str, referred: str, keys: str) -> str:
    pairs = list(zip(columns.split(", "), keys.split(", "), strict=True))
    plain = [pair for pair in pairs if not pair[0].startswith(_PERIOD)]
    period = [tuple(name.removeprefix(_PERIOD) for name in p) for p in pairs if p not in plain]
    given = " and ".join(f"t.{column} is not null" for column, _ in (*plain, *period))
    found = " and ".join(f"r.{key} = t.{column}" for column, key in plain)
    if period:
        ((column, key),) = period
        covered = f"(select range_agg(r.{key}) from {referred} r where {found})"
        return f"select t.* from {table} t where {given} and (t.{column} <@ {covered}) is not true"
    missing = f"not exists (select from {referred} r where {found})"
    return f"select t.* from {table} t where {given} and {missing}"
