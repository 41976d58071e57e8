"""A fact: one object of a schema, described in the way PostgreSQL itself prints it."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from predeploy.schema.kind import Kind

Key = tuple[str, str, str, str]
Order = tuple[int, int]

FLAG = "true"


@dataclass(frozen=True, slots=True)
class Fact:
    """What it is (`kind` and place) and its `attributes` (names and texts, absent ones omitted).

    `relation` is the table, view or sequence that it is or belongs to, and `name` the part of it: a
    table has no `name`, a type or a routine no `relation`, an extension no `schema`. A routine's
    name is quoted and includes its argument types. Texts are what PostgreSQL prints with an empty
    search_path; a flag's is `true`, a list's is JSON.

    `order` rises with the order of creation: the OID of the latest object created for it (a
    column's default, say), and the column's number. `needs` are the keys of the facts that it
    depends on, known only for declared facts. Neither takes part in comparisons.
    """

    kind: str
    schema: str
    relation: str
    name: str
    attributes: tuple[tuple[str, str], ...] = ()
    order: Order = field(default=(0, 0), compare=False)
    needs: tuple[Key, ...] = field(default=(), compare=False)

    @property
    def key(self) -> Key:
        """What distinguishes it from every other fact of a database."""
        return (self.kind, self.schema, self.relation, self.name)

    @property
    def position(self) -> int:
        """A column's number in its relation; 0 for all else."""
        return self.order[1]

    @property
    def identity(self) -> str:
        """`public.users.email`: schema, relation and name for people, without empty parts."""
        return ".".join(part for part in (self.schema, self.relation, self.name) if part)

    @property
    def definition(self) -> str:
        """All attributes as one text, for people and for comparison."""
        if len(self.attributes) == 1 and self.attributes[0][1] != FLAG:
            return self.attributes[0][1]
        return ", ".join(
            name if value == FLAG else f"{name} {value}" for name, value in self.attributes
        )

    @property
    def label(self) -> str:
        """`column public.users.email`: how messages and `[accept]` name it."""
        return f"{self.kind} {self.identity}"

    def get(self, name: str) -> str:
        """Return the attribute's text; empty if it is absent."""
        for key, value in self.attributes:  # a generator takes twice the time
            if key == name:
                return value
        return ""

    def differing(self, other: "Fact") -> tuple[str, ...]:
        """Return the names of the attributes that differ in another fact."""
        names = dict.fromkeys(name for name, _ in (*self.attributes, *other.attributes))
        return tuple(name for name in names if self.get(name) != other.get(name))

    def is_alike(self, other: "Fact", *names: str) -> bool:
        """Whether another fact has the same of these attributes."""
        return all(self.get(name) == other.get(name) for name in names)

    def told(self, names: Sequence[str]) -> str:
        """Return some attributes as one text, with `none` for absent ones."""
        texts = [self.get(name) or "none" for name in names]
        if len(names) == 1:
            return texts[0]
        return ", ".join(f"{name} {text}" for name, text in zip(names, texts, strict=True))

    def listed(self, name: str) -> tuple[str, ...]:
        """Return the attribute's JSON list of texts; empty if it is absent."""
        return tuple(json.loads(self.get(name) or "[]"))


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two sets of facts differ; each part is sorted by key."""

    missing: tuple[Fact, ...]
    extra: tuple[Fact, ...]
    changed: tuple[tuple[Fact, Fact], ...]

    def __bool__(self) -> bool:
        """Whether they differ at all."""
        return bool(self.missing or self.extra or self.changed)


def compare(desired: Iterable[Fact], current: Iterable[Fact]) -> Comparison:
    """Compare by key: what `current` is missing, has in addition, and has in another shape."""
    wanted = {fact.key: fact for fact in desired}
    found = {fact.key: fact for fact in current}
    return Comparison(
        missing=tuple(wanted[key] for key in sorted(wanted.keys() - found.keys())),
        extra=tuple(found[key] for key in sorted(found.keys() - wanted.keys())),
        changed=tuple(
            (wanted[key], found[key])
            for key in sorted(
                key for key in wanted.keys() & found.keys() if wanted[key] != found[key]
            )
        ),
    )


def as_json(facts: Iterable[Fact]) -> str:
    """Return the facts as JSON, for `from_json`: key, attributes, order and needs, sorted."""
    rows = [
        (*f.key, dict(f.attributes), f.order, f.needs) for f in sorted(facts, key=lambda f: f.key)
    ]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))


def from_json(text: str) -> frozenset[Fact]:
    """Return the facts that `as_json` wrote."""
    return frozenset(
        Fact(kind, schema, relation, name, tuple(attributes.items()), _order(order), _keys(needs))
        for kind, schema, relation, name, attributes, order, needs in json.loads(text)
    )


def _order(told: int | Sequence[int]) -> Order:
    """Return the order in a row: an OID, or, for a column, also its number."""
    if isinstance(told, int):
        return (told, 0)
    oid, number = told
    return (oid, number)


def _keys(needs: Iterable[Sequence[str]]) -> tuple[Key, ...]:
    return tuple((kind, schema, relation, name) for kind, schema, relation, name in needs)


# `varchar_column IN ('a', 'b')` is printed with a cast of the array; after it is read back, as from
# pg_dump's output, it is an array of casts. Both mean the same to the server.
_CAST_ARRAY = re.compile(r"\(ARRAY\[((?:'(?:[^']|'')*'::character varying(?:, )?)+)\]\)::text\[\]")
_VERBATIM = (Kind.ROUTINE.value, Kind.COMMENT.value)
_MARK = "::character varying"
_ELEMENT = re.compile(r"'(?:[^']|'')*'::character varying")


def read_back(text: str) -> str:
    """Return an expression as PostgreSQL prints it after reading back its own output."""
    if _MARK not in text:
        return text
    return _CAST_ARRAY.sub(
        lambda array: "ARRAY[" + _ELEMENT.sub(lambda e: f"({e[0]})::text", array[1]) + "]", text
    )


def parse_facts(rows: Iterable[tuple[str | None, ...]]) -> frozenset[Fact]:
    """Return the facts in the rows of `kinds.facts_sql` or `kinds.declared_sql`.

    Each row is JSON: a list of facts, or an object with the dependencies between them.
    """
    return frozenset(map(as_read_back, as_printed(rows)))


def as_read_back(fact: Fact) -> Fact:
    """Return a fact whose texts are those that PostgreSQL prints after reading its own output."""
    if fact.kind in _VERBATIM or not any(_MARK in text for _, text in fact.attributes):
        return fact
    return replace(fact, attributes=tuple((n, read_back(text)) for n, text in fact.attributes))


def as_printed(rows: Iterable[tuple[str | None, ...]]) -> tuple[Fact, ...]:
    """Return the facts of `parse_facts` with their texts exactly as PostgreSQL prints them."""
    told = [json.loads(text or "[]") for (text,) in rows]
    needs: dict[Key, list[Key]] = defaultdict(list)
    for pairs in (part["needs"] or [] for part in told if isinstance(part, dict)):
        for of, needed in pairs:
            needs[_keys([of])[0]] += _keys([needed])
    return tuple(
        Fact(
            kind,
            schema or "",
            relation or "",
            name or "",
            tuple((key, str(value)) for key, value in attributes.items()),
            _order(order),
            tuple(sorted(needs.get((kind, schema or "", relation or "", name or ""), ()))),
        )
        for part in told
        if isinstance(part, list)
        for kind, schema, relation, name, attributes, order in part
    )
