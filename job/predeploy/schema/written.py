"""What schema files contain but no catalog keeps: explicit names, and the subjects of grants.

A catalog does not distinguish a chosen name from one that PostgreSQL generated, nor does it show a
REVOKE of a privilege that the grantee did not have.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from predeploy.schema.facts import Fact, Key
from predeploy.schema.kind import Kind

PUBLIC = "PUBLIC"
CURRENT_USER = "CURRENT_USER"

_IDENTIFIER = r'(?:"(?:[^"]|"")*"|[^".( ]+)'
# Such as `TABLE public.users` or `ROUTINE public.f(integer)`.
_ON = re.compile(rf"(\w+) ({_IDENTIFIER})(?:\.({_IDENTIFIER}))?(?:\((.*)\))?")


class Sort(Enum):
    """The kinds of objects with privileges, by their keyword in ALTER DEFAULT PRIVILEGES."""

    RELATION = "TABLES"
    SEQUENCE = "SEQUENCES"
    ROUTINE = "ROUTINES"
    TYPE = "TYPES"
    SCHEMA = "SCHEMAS"


_SORTS = {
    "TABLE": Sort.RELATION,
    "SEQUENCE": Sort.SEQUENCE,
    "ROUTINE": Sort.ROUTINE,
    "TYPE": Sort.TYPE,
    "SCHEMA": Sort.SCHEMA,
}
# Types that PostgreSQL prints under another name than the catalog's.
_NAMES = {
    "smallint": "int2",
    "integer": "int4",
    "bigint": "int8",
    "real": "float4",
    "double precision": "float8",
    "boolean": "bool",
    "character": "bpchar",
    "character varying": "varchar",
    "bit varying": "varbit",
    "time without time zone": "time",
    "time with time zone": "timetz",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
}


@dataclass(frozen=True, slots=True)
class Target:
    """One object with privileges; a schema is a `name` without a schema.

    A routine's `signature` is as in facts; its `arguments` are the names of its types.
    """

    sort: Sort
    schema: str
    name: str
    arguments: tuple[str, ...] | None = None
    signature: str = ""


Right = tuple[str, str]
"""A privilege, or `ALL` for all of them, and its column, empty for the whole object."""
ALL = "ALL"


@dataclass(frozen=True, slots=True)
class Naming:
    """The objects and grantees that a GRANT, REVOKE or ALTER DEFAULT PRIVILEGES covers.

    Names are as in the catalogs. An empty `name` covers every object of the sort in the schema, an
    empty `schema` those of every schema. Without `arguments`, every routine of that name is
    covered; without `privileges`, all privileges. `role`, if given, limits it to objects that this
    role creates later. With `is_default` it is about the default privileges themselves. `given` is
    what a GRANT gives, and `taken` what a REVOKE takes.
    """

    sort: Sort
    schema: str
    name: str
    grantees: frozenset[str]
    privileges: frozenset[str] = frozenset()
    arguments: tuple[str, ...] | None = None
    role: str = ""
    is_default: bool = False
    given: frozenset[Right] = frozenset()
    taken: frozenset[Right] = frozenset()


# Kinds that are facts only if files name them, with the kind under which files do so.
_NAMED_AS = {
    Kind.PARTITION_INDEX.value: Kind.INDEX.value,
    Kind.PARTITION_CONSTRAINT.value: Kind.CONSTRAINT.value,
    Kind.NOT_NULL.value: Kind.CONSTRAINT.value,
}


@dataclass(frozen=True)
class Written:
    """`names` are the keys of explicitly named facts, `rights` the privileges that are covered."""

    names: frozenset[Key] = frozenset()
    rights: frozenset[Naming] = frozenset()

    def has_name_of(self, fact: Fact) -> bool:
        """Whether the files name a fact explicitly."""
        return named_as(fact) in self.names

    def known(self, facts: Iterable[Fact]) -> frozenset[Fact]:
        """Return the facts without parts and NOT NULLs that the files do not name.

        One that has a comment or is a replica identity is kept, too. Keeping a part of a
        subpartition also keeps the parts above it.
        """
        found = frozenset(facts)
        hidden = {fact.key: fact for fact in found if fact.kind in _NAMED_AS}
        comments = {fact.key for fact in found if fact.kind == Kind.COMMENT.value}
        kept: set[Key] = set()
        for fact in hidden.values():
            is_used = fact.get("replica identity") or not comments.isdisjoint(_comments_on(fact))
            if is_used or self.has_name_of(fact):
                kept.update(_with_wholes(fact, hidden))
        return frozenset(fact for fact in found if fact.key not in hidden or fact.key in kept)

    def namings(self, target: Target, role: str) -> Iterator[Naming]:
        """Yield what covers the privileges on an object that `role` creates or would create."""
        places = [
            (target.sort, target.schema, target.name),
            (target.sort, target.schema, ""),
            (target.sort, "", ""),
        ]
        if target.sort is Sort.SEQUENCE:  # GRANT … ON TABLE accepts a sequence, too
            places.append((Sort.RELATION, target.schema, target.name))
        for naming in (one for place in places for one in self._by_place.get(place, ())):
            is_ours = naming.role in ("", role, CURRENT_USER)
            if is_ours and naming.arguments in (None, target.arguments):
                yield naming

    def namings_of_grantee(self, grantee: str, target: Target, role: str) -> Iterator[Naming]:
        """Yield the namings of an object that cover a grantee."""
        names = {grantee, CURRENT_USER} if grantee == role else {grantee}
        return (n for n in self.namings(target, role) if not names.isdisjoint(n.grantees))

    def grantees(self, target: Target, role: str) -> frozenset[str]:
        """Return the grantees that the files decide about on an object; with any, also PUBLIC."""
        named = frozenset[str]().union(*(n.grantees for n in self.namings(target, role)))
        named = frozenset(role if name == CURRENT_USER else name for name in named)
        return named | {PUBLIC} if named else named

    @cached_property
    def defaults(self) -> tuple[Naming, ...]:
        """The statements about default privileges."""
        return tuple(naming for naming in self.rights if naming.is_default)

    @cached_property
    def _by_place(self) -> Mapping[tuple[Sort, str, str], tuple[Naming, ...]]:
        places = defaultdict(list)
        for naming in self.rights:
            if not naming.is_default:
                places[naming.sort, naming.schema, naming.name].append(naming)
        return {place: tuple(namings) for place, namings in places.items()}


NOTHING_WRITTEN = Written()


def named_as(fact: Fact) -> Key:
    """Return the key by which files name a fact; it does not distinguish parts from other facts."""
    kind = _NAMED_AS.get(fact.kind, fact.kind)
    return (Kind.DOMAIN_CONSTRAINT.value if fact.get("domain") else kind, *fact.key[1:])


def _comments_on(fact: Fact) -> Iterator[Key]:
    kind = Kind.COMMENT.value
    yield (kind, fact.schema, fact.name, "index")
    yield (kind, fact.schema, fact.relation, f"constraint {fact.name}")


def _with_wholes(part: Fact, parts: Mapping[Key, Fact]) -> Iterator[Key]:
    yield part.key
    if part.get("of"):
        schema, table, name = part.listed("of")
        whole = parts.get((part.kind, schema, table, name))
        if whole is not None:
            yield from _with_wholes(whole, parts)


def target_of(grant: Fact) -> Target | None:
    """Return the object of a fact about privileges, parsed from its text."""
    match = _ON.fullmatch(grant.get("on"))
    if match is None or match[1] not in _SORTS:
        return None
    sort = _SORTS[match[1]]
    if sort is Sort.SCHEMA:
        return Target(sort, "", unquoted(match[2]))
    if sort is Sort.ROUTINE:
        return routine(unquoted(match[2]), f"{match[3]}({match[4]})")
    return Target(sort, unquoted(match[2]), unquoted(match[3] or ""))


def routine(schema: str, signature: str) -> Target:
    """Return a routine, given its quoted name and argument types as in facts."""
    name, _, types = signature.removesuffix(")").partition("(")
    arguments = tuple(type_name(text) for text in types.split(", ")) if types else ()
    return Target(Sort.ROUTINE, schema, unquoted(name), arguments, signature)


def type_name(text: str) -> str:
    """Return a type's name in the catalog, without schema, with `[]` appended for an array."""
    is_array = text.endswith("[]")
    words = text.removesuffix("[]")
    name = _NAMES.get(words) or unquoted(words.rpartition(".")[2])
    return f"{name}[]" if is_array else name


def unquoted(name: str) -> str:
    """Return a name as in catalogs; PUBLIC, which is not a role's name, is kept."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def as_json(written: Written) -> str:
    """Return `written` as JSON, for `from_json`."""
    rights = sorted(
        (
            n.sort.name, n.schema, n.name, sorted(n.grantees), sorted(n.privileges),
            n.arguments is not None, n.arguments or (), n.role, n.is_default,
            sorted(n.given), sorted(n.taken),
        )
        for n in written.rights
    )  # fmt: skip
    return json.dumps([sorted(written.names), rights], ensure_ascii=False)


def from_json(text: str) -> Written:
    """Return the Written that `as_json` turned into this text."""
    names, rights = json.loads(text)
    return Written(
        frozenset((kind, schema, relation, name) for kind, schema, relation, name in names),
        frozenset(_naming(*row) for row in rights),
    )


def _naming(  # noqa: PLR0917 - a row
    sort: str,
    schema: str,
    name: str,
    grantees: list[str],
    privileges: list[str],
    is_told: bool,  # noqa: FBT001 - a row
    arguments: list[str],
    role: str,
    is_default: bool,  # noqa: FBT001 - a row
    given: list[list[str]],
    taken: list[list[str]],
) -> Naming:
    return Naming(
        Sort[sort],
        schema,
        name,
        frozenset(grantees),
        frozenset(privileges),
        tuple(arguments) if is_told else None,
        role,
        is_default,
        _rights(given),
        _rights(taken),
    )


def _rights(rows: list[list[str]]) -> frozenset[Right]:
    return frozenset((privilege, column) for privilege, column in rows)
