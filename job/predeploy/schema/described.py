"""How `[accept]` names a live object, in the same terms whichever layer found it. Pure.

The terms cover all that can drift in an object of its kind, and nothing else: they depend neither
on which part was found to differ, nor on parts that do not matter.
"""

import hashlib

from predeploy.contract.plan import Drift
from predeploy.schema.ddl import Report
from predeploy.schema.facts import FLAG, Fact
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
