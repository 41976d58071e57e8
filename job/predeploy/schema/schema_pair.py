"""The desired and the live schema together, as the kinds use them for planning."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

from predeploy.schema.ddl import Change, Report
from predeploy.schema.facts import Fact, Key
from predeploy.schema.kind import Kind
from predeploy.schema.written import NOTHING_WRITTEN, Target, Written, target_of, unquoted

BIG_BYTES = 64 * 1024 * 1024
"""A smaller table is read or rewritten under a lock quickly enough."""

Group = TypeVar("Group")
Columns = tuple[tuple[str, str], ...]
_PARTS = {
    Kind.INDEX.value: Kind.PARTITION_INDEX.value,
    Kind.CONSTRAINT.value: Kind.PARTITION_CONSTRAINT.value,
    # A partition can be partitioned, too.
    Kind.PARTITION_INDEX.value: Kind.PARTITION_INDEX.value,
    Kind.PARTITION_CONSTRAINT.value: Kind.PARTITION_CONSTRAINT.value,
}


class SchemaIndex:
    """One schema's facts, and lookups into them.

    Each lookup is prepared on first use: most changes need few of them, and there may be a quarter
    of a million facts.
    """

    def __init__(self, facts: Iterable[Fact]) -> None:
        """Keep the facts, by key."""
        self.facts: Mapping[Key, Fact] = {fact.key: fact for fact in facts}
        self._sorted: dict[Kind, tuple[Fact, ...]] = {}

    def all(self, *kinds: Kind) -> tuple[Fact, ...]:
        """Return the facts of some kinds, sorted by key within each."""
        return tuple(fact for kind in kinds for fact in self._of(kind))

    def on(self, relation: tuple[str, str], *kinds: Kind) -> tuple[Fact, ...]:
        """Return the facts of some kinds that belong to the relation (schema, name), sorted."""
        there = self._by_relation.get(relation)
        if there is None:
            return ()
        names = {kind.value for kind in kinds}
        return tuple(
            sorted((fact for fact in there if fact.kind in names), key=lambda fact: fact.key)
        )

    def below(self, relation: tuple[str, str]) -> tuple[Fact, ...]:
        """Return the tables that are its partitions or inherit from it, sorted."""
        return self._by_parent.get(relation, ())

    def get(self, kind: Kind, schema: str, relation: str, name: str = "") -> Fact | None:
        """Return the fact with that key, if any."""
        return self.facts.get((kind.value, schema, relation, name))

    def is_named(self, schema: str, name: str, *kinds: Kind) -> bool:
        """Whether an object of these kinds has that name."""
        return any((kind.value, schema, name) in self._names for kind in kinds)

    def numbered_by(self, schema: str, sequence: str) -> Fact | None:
        """Return the identity column that takes its numbers from the sequence."""
        return self._by_sequence.get((schema, sequence), (None,))[0]

    def columns(self, table: Fact) -> Columns:
        """Return names and types of a table's columns."""
        there = self.on((table.schema, table.relation), Kind.COLUMN)
        return tuple((column.name, column.get("type")) for column in there)

    def rights_on(self, target: Target) -> tuple[Fact, ...]:
        """Return the grants on an object, and the facts about privileges that are withheld."""
        return self._by_target.get(target, ())

    def parts_of(self, whole: Fact) -> tuple[Fact, ...]:
        """Return what partitions have of an index or a constraint, where it has a name."""
        return self._by_whole.get((_PARTS[whole.kind], *whole.key[1:]), ())

    def whole_of(self, part: Fact) -> Fact | None:
        """Return the index or the constraint of a parent that a partition's is a part of."""
        if part.kind not in _PARTS.values():
            return None
        schema, table, name = part.listed("of")
        keys = ((kind, schema, table, name) for kind, of in _PARTS.items() if of == part.kind)
        return next((self.facts[key] for key in keys if key in self.facts), None)

    def defaults_of(self, role: str, objects: str) -> tuple[Fact, ...]:
        """Return what a role's default privileges grant on `TABLES` or the like, in any schema."""
        return self._by_role.get((role, objects), ())

    def columns_in_order(self, table: Fact) -> Columns:
        """Return names and types of a table's columns, in the table's order."""
        there = self.on((table.schema, table.relation), Kind.COLUMN)
        in_order = sorted(there, key=lambda column: column.position)
        return tuple((column.name, column.get("type")) for column in in_order)

    def with_columns(self, schema: str, columns: Columns) -> tuple[Fact, ...]:
        """Return the tables of a schema that have exactly these columns, sorted."""
        return self._by_columns.get((schema, columns), ())

    def _of(self, kind: Kind) -> tuple[Fact, ...]:
        if kind not in self._sorted:
            facts = self._by_kind.get(kind.value, ())
            self._sorted[kind] = tuple(sorted(facts, key=lambda fact: fact.key))
        return self._sorted[kind]

    @cached_property
    def _by_kind(self) -> Mapping[str, tuple[Fact, ...]]:
        return _grouped(self.facts.values(), lambda fact: (fact.kind,))

    @cached_property
    def _by_relation(self) -> Mapping[tuple[str, str], tuple[Fact, ...]]:
        return _grouped(self.facts.values(), lambda fact: ((fact.schema, fact.relation),))

    @cached_property
    def _by_parent(self) -> Mapping[tuple[str, str], tuple[Fact, ...]]:
        return _grouped(self.all(Kind.TABLE), parents)

    @cached_property
    def _by_columns(self) -> Mapping[tuple[str, Columns], tuple[Fact, ...]]:
        tables = self.all(Kind.TABLE)
        return _grouped(tables, lambda table: ((table.schema, self.columns(table)),))

    @cached_property
    def _by_sequence(self) -> Mapping[tuple[str, ...], tuple[Fact, ...]]:
        identities = (fact for fact in self.all(Kind.COLUMN) if fact.get("identity"))
        return _grouped(identities, lambda column: (column.listed("sequence name"),))

    @cached_property
    def _by_target(self) -> Mapping[Target | None, tuple[Fact, ...]]:
        grants = (fact for fact in self.all(Kind.GRANT) if fact.get("on"))
        return _grouped(grants, lambda fact: (target_of(fact),))

    @cached_property
    def _by_whole(self) -> Mapping[tuple[str, ...], tuple[Fact, ...]]:
        parts = self.all(Kind.PARTITION_INDEX, Kind.PARTITION_CONSTRAINT)
        return _grouped(parts, lambda part: ((part.kind, *part.listed("of")),))

    @cached_property
    def _by_role(self) -> Mapping[tuple[str, str], tuple[Fact, ...]]:
        granted = (f for f in self.all(Kind.DEFAULT_PRIVILEGE) if f.get("grantee"))
        return _grouped(granted, lambda f: ((unquoted(f.get("role")), f.get("on")),))

    @cached_property
    def _names(self) -> frozenset[tuple[str, str, str]]:
        facts = self.facts.values()
        return frozenset((fact.kind, fact.schema, fact.name or fact.relation) for fact in facts)


def parents(table: Fact) -> tuple[tuple[str, str], ...]:
    """Return schema and name of the tables that it is a partition of or inherits from."""
    if table.get("partition of"):
        schema, name = table.listed("partition of")
        return ((schema, name),)
    if not table.get("inherits"):
        return ()
    split = (name.replace('"', "").partition(".") for name in table.listed("inherits"))
    return tuple((schema, name) for schema, _, name in split)


@dataclass(frozen=True, slots=True)
class SchemaPair:
    """The desired schema and the live one, and what each has that the other does not.

    `sizes` are the bytes of live tables, by identity (`public.users`); a table without an entry
    counts as one that holds rows, which is the cautious guess. `renamed` holds the desired facts
    that exist under another name. `users` are the objects that prevent a change of a live column's
    type, by the column's identity. `may_alter` allows existing objects to be altered if that is
    safe. `written` is what the files say that no catalog keeps; `role` is the role that creates
    what is missing.
    """

    desired: SchemaIndex
    live: SchemaIndex
    missing: SchemaIndex
    undeclared: SchemaIndex
    renamed: SchemaIndex
    sizes: Mapping[str, int]
    server_version: int
    users: Mapping[str, str]
    may_alter: bool
    written: Written = NOTHING_WRITTEN
    role: str = ""

    def altered(self, told: Report, change: Change) -> Change | Report:
        """Return the change of a live object, or else the drift that is reported instead.

        An object is altered only if the change touches no row, narrows nothing and can be undone.
        """
        return replace(change, is_brief=True) if self.may_alter else told

    @property
    def absent(self) -> Mapping[Key, Fact]:
        """The desired facts that are missing, under any name."""
        return {key: fact for key, fact in self.missing.facts.items() if self.is_missing(key)}

    def is_missing(self, key: Key) -> bool:
        """Whether a desired fact is missing, under any name."""
        return key in self.missing.facts and key not in self.renamed.facts

    def is_new(self, fact: Fact) -> bool:
        """Whether the relation that `fact` belongs to does not exist yet."""
        return not self.live.on(
            (fact.schema, fact.relation), Kind.TABLE, Kind.VIEW, Kind.MATERIALIZED_VIEW
        )

    def can_build_at_once(self, fact: Fact) -> bool:
        """Whether the relation's parts can be built directly: it is new, or has no rows."""
        place = (fact.schema, fact.relation)
        # Existing tables are attached to it first, with their rows.
        attached = (t for t in self.desired.below(place) if self._is_there(t))
        return self.is_new(fact) or not any(self.size(f) for f in (fact, *attached))

    def _is_there(self, table: Fact) -> bool:
        return self.live.get(Kind.TABLE, table.schema, table.relation) is not None

    def is_sequence_renamed(self, schema: str, name: str) -> bool:
        """Whether the live column has a sequence of another name, or none, in place of this one."""
        if self.renamed.is_named(schema, name, Kind.SEQUENCE):
            return True
        column = self.desired.numbered_by(schema, name)
        live = column and self.live.facts.get(column.key)
        if not live or self.live.get(Kind.SEQUENCE, schema, name):
            return False
        return live.listed("sequence name") != (schema, name)

    def size(self, fact: Fact) -> int:
        """Return the bytes of the relation that `fact` belongs to; 1 if unknown."""
        return self.sizes.get(f"{fact.schema}.{fact.relation}", 1)

    def table_of(self, fact: Fact) -> Fact | None:
        """Return the table that `fact` belongs to, from the live side or else the desired one."""
        place = (Kind.TABLE, fact.schema, fact.relation)
        return self.live.get(*place) or self.desired.get(*place)


def _grouped(
    facts: Iterable[Fact], groups_of: Callable[[Fact], Iterable[Group]]
) -> Mapping[Group, tuple[Fact, ...]]:
    groups: dict[Group, list[Fact]] = defaultdict(list)
    for fact in facts:
        for group in groups_of(fact):
            groups[group].append(fact)
    return {key: tuple(members) for key, members in groups.items()}
