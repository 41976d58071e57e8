"""The query that finds the rows which a constraint or a unique index cannot live with."""

import re
from collections.abc import Iterable, Iterator

from job.schema.ddl import identifier, relation
from job.schema.facts import Fact
from job.schema.kind import Kind

_NAME = r'(?:[^\W\d][\w$]*|"(?:[^"]|"")+")'
_NAMES = rf"\(({_NAME}(?:, {_NAME})*)\)"
_FOREIGN_KEY = re.compile(rf"FOREIGN KEY {_NAMES} REFERENCES ({_NAME}\.{_NAME}|{_NAME}){_NAMES}")
_CHECK = re.compile(r"CHECK (\(.*\))", re.DOTALL)
_VALUE = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\bVALUE\b""")
_KEY = re.compile(rf"(?:UNIQUE(?: NULLS NOT DISTINCT)?|PRIMARY KEY|USING btree) {_NAMES}")


def offenders(fact: Fact, live: Iterable[Fact]) -> str:
    """Return the query; empty where the fact asks nothing of rows, or by expressions.

    What is `live` tells in which columns the values of a domain are; each has a query of its own.
    """
    table, definition = relation(fact), fact.get("definition")
    if fact.kind == Kind.DOMAIN_CONSTRAINT.value:
        return "; ".join(_values(fact, definition, tuple(live)))
    if fact.kind == Kind.COLUMN.value:
        return f"select * from {table} where {identifier(fact.name)} is null"
    if match := _CHECK.match(definition):
        return f"select * from {table} where not {match[1]}"
    if match := _FOREIGN_KEY.match(definition):
        return _orphans(table, *match.groups())
    if (match := _KEY.match(definition)) and (fact.get("unique") or fact.get("type")):
        where = definition[match.end() :].strip()
        some = f" {where}" if where.startswith("WHERE") else ""
        key = match[1]
        return f"select {key}, count(*) from {table}{some} group by {key} having count(*) > 1"
    return ""


def _values(constraint: Fact, definition: str, live: tuple[Fact, ...]) -> Iterator[str]:
    """Yield what finds a domain's values: a check calls each of them VALUE."""
    check, domain = _CHECK.match(definition), f"{constraint.schema}.{constraint.relation}"
    tables = {(f.schema, f.relation) for f in live if f.kind == Kind.TABLE.value}
    for column in sorted((f for f in live if f.kind == Kind.COLUMN.value), key=lambda f: f.key):
        is_stored = (column.schema, column.relation) in tables and not column.get("inherited")
        if check and is_stored and column.get("type").replace('"', "") == domain:
            name = identifier(column.name)
            asked = _VALUE.sub(lambda at, n=name: n if at[0] == "VALUE" else at[0], check[1])
            yield f"select * from {relation(column)} where not {asked}"


def _orphans(table: str, columns: str, referred: str, keys: str) -> str:
    pairs = list(zip(columns.split(", "), keys.split(", "), strict=True))
    given = " and ".join(f"t.{column} is not null" for column, _ in pairs)
    found = " and ".join(f"r.{key} = t.{column}" for column, key in pairs)
    missing = f"not exists (select from {referred} r where {found})"
    return f"select t.* from {table} t where {given} and {missing}"
