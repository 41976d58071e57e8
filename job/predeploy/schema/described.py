"""How `[accept]` names what is there, in the same words whichever layer has found it. Pure.

The words are of all that can drift in a thing of its kind, and of nothing else: what one finds to
differ does not change them, and neither does what is of no account.
"""

import hashlib

from predeploy.schema.facts import FLAG, Fact
from predeploy.schema.kind import Kind

_LONGEST = 200  # characters of a shape; one that is longer is given by its beginning and its hash
_BEGINNING = 80

# In the order in which they are given; of other kinds, all attributes.
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
# What files call a type, whichever it is.
_TYPES = frozenset(k.value for k in (Kind.ENUM, Kind.DOMAIN, Kind.COMPOSITE, Kind.RANGE))


def described(fact: Fact) -> tuple[str, str]:
    """Return the key and the value of a live fact under `[accept]`."""
    names = _BY_KIND.get(fact.kind) or tuple(name for name, _ in fact.attributes)
    there = [(name, fact.get(name)) for name in names if fact.get(name)]
    words = [*(value for _, value in there[:1]), *(_worded(*pair) for pair in there[1:])]
    # An index has its schema to itself, as it has a name, and stands on one of the tables there.
    on = f"on {fact.schema}.{fact.relation} " if fact.kind == Kind.INDEX.value else ""
    return _key(fact), _short(on + ", ".join(words))


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
