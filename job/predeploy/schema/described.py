"""How `[accept]` and the ledger name an object. Pure.

The terms of `[accept]` are the same whichever layer found the object. They cover all that can drift
in an object of its kind, and nothing else: they depend neither on which part was found to differ,
nor on parts that do not matter.

The ledger's texts are what a migration's statement is compared by, and stay readable for good: they
hold only what such a statement is compared for.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from predeploy.contract.plan import Drift
from predeploy.schema.ddl import Report
from predeploy.schema.facts import FLAG, Fact, as_read_back
from predeploy.schema.kind import Kind

_LONGEST = 200  # characters; a longer shape is given by its beginning and its hash
_BEGINNING = 80

# In the order in which they are given; other kinds use all attributes.
_TOLD = {
    Kind.COLUMN: ("type", "collation", "generated", "expression", "identity", "sequence"),
    Kind.CONSTRAINT: ("definition", "index", "not valid"),
    Kind.DOMAIN_CONSTRAINT: ("definition", "not valid"),
    Kind.INDEX: ("definition", "unique"),
    Kind.PARTITION_CONSTRAINT: ("definition", "index"),
    Kind.PARTITION_INDEX: ("definition", "unique"),
    Kind.SEQUENCE: ("type", "options", "unlogged", "owned by"),
    Kind.TABLE: (
        "kind", "unlogged", "partition key", "partition of", "bound", "inherits", "method",
    ),
    Kind.ENUM: ("labels",),
    Kind.DOMAIN: ("type", "collation", "not null"),
    Kind.COMPOSITE: ("attributes",),
    Kind.RANGE: ("subtype", "subtype opclass", "collation", "canonical", "subtype diff"),
    Kind.VIEW: ("columns", "definition", "options"),
    Kind.MATERIALIZED_VIEW: ("columns", "definition", "options"),
    Kind.ROUTINE: ("kind", "arguments", "result", "defaults"),
    Kind.EXTENSION: ("schema",),
}  # fmt: skip
_BY_KIND = {kind.value: names for kind, names in _TOLD.items()}
# `[accept]` calls all of these a type.
_TYPES = frozenset(k.value for k in (Kind.ENUM, Kind.DOMAIN, Kind.COMPOSITE, Kind.RANGE))
RECORDED = (
    Kind.TABLE, Kind.VIEW, Kind.MATERIALIZED_VIEW, Kind.SEQUENCE, Kind.INDEX, Kind.COLUMN,
    Kind.CONSTRAINT, Kind.ENUM, Kind.DOMAIN, Kind.COMPOSITE, Kind.RANGE,
)  # fmt: skip
"""The kinds that the ledger has words for."""
_RELATIONS = frozenset(k.value for k in (Kind.TABLE, Kind.VIEW, Kind.MATERIALIZED_VIEW))
_NUMBER = re.compile(r"-?\d+")


@dataclass(frozen=True, slots=True)
class Recorded:
    """An object, or a part or an aspect of it, as the ledger has it: `relation public.users`.

    `key` and `accepted` are how `[accept]` names it; empty if it has no terms for it.
    """

    word: str
    name: str
    text: str
    key: str = ""
    accepted: str = ""


def described(fact: Fact) -> tuple[str, str]:
    """Return the key and the value of a live fact under `[accept]`."""
    names = _BY_KIND.get(fact.kind) or tuple(name for name, _ in fact.attributes)
    there = [(name, fact.get(name)) for name in names if fact.get(name)]
    words = [*(value for _, value in there[:1]), *(_worded(*pair) for pair in there[1:])]
    # An index name is unique within a schema, so the table is part of the shape.
    on = f"on {fact.schema}.{fact.relation} " if fact.kind == Kind.INDEX.value else ""
    return _key(fact), _short(on + ", ".join(words))


def as_drift(report: Report) -> Drift:
    """Return a report in the form that `[accept]` can name and the ledger can hold."""
    kind, _, name = report.object.partition(" ")
    key, shape = described(report.fact) if report.fact is not None else ("", "")
    return Drift(kind, name, report.declared, report.live, key=key, shape=shape)


def _key(fact: Fact) -> str:
    if fact.kind == Kind.INDEX.value:
        return f"{fact.kind} {fact.schema}.{fact.name}"
    return f"{'type' if fact.kind in _TYPES else fact.kind} {fact.identity}"


def _worded(name: str, value: str) -> str:
    return name if value == FLAG else f"{name} {value}"


def _short(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{text[:_BEGINNING]}… (sha256 {digest})"


def recorded(facts: Iterable[Fact]) -> dict[tuple[str, str], Recorded]:
    """Return what the ledger calls the objects, by word and name.

    The facts are those of `kinds.every_sql`, as printed. An index needs its table among them, and a
    type the relation of its name.
    """
    given = sorted(facts, key=lambda fact: fact.key)
    tables = {fact.key[1:3]: fact for fact in given if fact.kind in _RELATIONS}
    rows = [row for fact in given for row in _recorded(fact, tables.get(_place(fact)))]
    return {(row.word, row.name): row for row in rows}


def _place(fact: Fact) -> tuple[str, str]:
    return (fact.schema, fact.relation or fact.name)


def _recorded(fact: Fact, table: Fact | None) -> Iterator[Recorded]:
    """Yield what the ledger calls a fact; `table` is its relation, or that of a type's name."""
    terms = described(as_read_back(fact))
    match fact.kind:
        case Kind.TABLE.value | Kind.VIEW.value | Kind.MATERIALIZED_VIEW.value:
            yield from _relation(fact, _sort_of_relation(fact), *terms)
        case Kind.SEQUENCE.value:
            yield from _relation(fact, "sequence", *terms)
            yield Recorded("sequence", fact.identity, _sequence(fact), *terms)
        case Kind.COLUMN.value:
            yield Recorded("column", fact.identity, fact.get("type"), *terms)
        case Kind.CONSTRAINT.value:
            not_valid = " NOT VALID" if fact.get("not valid") else ""
            yield Recorded("constraint", fact.identity, fact.get("definition") + not_valid, *terms)
        case Kind.INDEX.value:
            name = f"{fact.schema}.{fact.name}"
            yield from _relation(replace(fact, relation=""), "index")
            yield Recorded("index", name, _index(fact, table), *terms)
        case Kind.COMPOSITE.value if table is not None:
            yield Recorded("type", fact.identity, f"row type {_attributes(fact)}")
        case Kind.COMPOSITE.value:
            yield from _relation(fact, "composite type")
            yield Recorded("type", fact.identity, f"composite {_attributes(fact)}", *terms)
        case _:
            yield Recorded("type", fact.identity, _type(fact), *terms)


def _type(fact: Fact) -> str:
    match fact.kind:
        case Kind.ENUM.value:
            return f"enum {_as_list(fact.listed('labels'))}"
        case Kind.DOMAIN.value:
            return f"domain over {fact.get('type')}"
        case _:
            return f"range of {_range(fact)}"


def _relation(fact: Fact, sort: str, *terms: str) -> Iterator[Recorded]:
    """Yield what sort of relation it is, and of which table it is a partition."""
    yield Recorded("relation", fact.identity, sort, *terms)
    parent = ".".join(fact.listed("partition of")) or "nothing"
    yield Recorded("partition", fact.identity, f"of {parent}", *terms)


def _sort_of_relation(fact: Fact) -> str:
    if fact.kind != Kind.TABLE.value:
        return fact.kind
    key = fact.get("partition key")
    return f"table partitioned by {key}" if key else fact.get("kind")


def _sequence(fact: Fact) -> str:
    """Return type and options: `bigint from 1 by 1 between 1 and 99 cache 1`."""
    options = fact.get("options")
    start, step, least, most, cache = _NUMBER.findall(options)
    cycle = " cycle" if options.endswith(" CYCLE") else ""
    numbers = f"from {start} by {step} between {least} and {most} cache {cache}"
    return f"{fact.get('type')} {numbers}{cycle}"


def _index(fact: Fact, table: Fact | None) -> str:
    """Return `unique on public.users USING btree (email)`.

    An index of a partitioned table is invalid until all partitions have it, which is no failure.
    """
    unique = "unique " if fact.get("unique") else ""
    is_parent = table is not None and table.get("partition key")
    invalid = " INVALID" if fact.get("invalid") and not is_parent else ""
    on = f"on {fact.schema}.{fact.relation}"
    return f"{unique}{on} {fact.get('definition')}{invalid}"


def _attributes(fact: Fact) -> str:
    attributes = json.loads(fact.get("attributes") or "[]")
    return _as_list(f"{name} {type_name}" for name, type_name, _ in attributes)


def _as_list(texts: Iterable[str]) -> str:
    return json.dumps([*texts], ensure_ascii=False)


def _range(fact: Fact) -> str:
    subtype = fact.get("subtype")
    of = {
        "opclass": fact.get("subtype opclass").replace('"', ""),
        "collation": fact.get("collation").removeprefix("pg_catalog."),
        "canonical": _call(fact.get("canonical"), fact.identity),
        "difference": _call(fact.get("subtype diff"), subtype, subtype),
    }
    return " ".join([subtype, *(f"{name} {text}" for name, text in of.items() if text)])


def _call(function: str, *arguments: str) -> str:
    return f"{function}({','.join(arguments)})" if function else ""
