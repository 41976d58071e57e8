"""The two schemas side by side, as the kinds look at them when they plan."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from job.schema.facts import Fact, Key
from job.schema.kind import Kind

Group = TypeVar("Group")


@dataclass(frozen=True, slots=True)
class Side:
    """One schema's facts, and the ways in which they are looked up."""

    facts: Mapping[Key, Fact]
    _by_kind: Mapping[str, tuple[Fact, ...]] = field(repr=False)
    _by_relation: Mapping[tuple[str, str], tuple[Fact, ...]] = field(repr=False)

    @classmethod
    def of(cls, facts: Iterable[Fact]) -> "Side":
        """Sort facts into their drawers."""
        found = sorted(facts, key=lambda fact: fact.key)
        return cls(
            {fact.key: fact for fact in found},
            _grouped(found, lambda fact: fact.kind),
            _grouped(found, lambda fact: (fact.schema, fact.relation)),
        )

    def all(self, *kinds: Kind) -> tuple[Fact, ...]:
        """Return the facts of some kinds, sorted by key within each."""
        return tuple(fact for kind in kinds for fact in self._by_kind.get(kind.value, ()))

    def on(self, relation: tuple[str, str], *kinds: Kind) -> tuple[Fact, ...]:
        """Return the facts of some kinds that hang on the relation (schema, name)."""
        there = self._by_relation.get(relation)
        if there is None:
            return ()
        names = {kind.value for kind in kinds}
        return tuple(fact for fact in there if fact.kind in names)

    def get(self, kind: Kind, schema: str, relation: str, name: str = "") -> Fact | None:
        """Return the fact of that key, if it is there."""
        return self.facts.get((kind.value, schema, relation, name))


@dataclass(frozen=True, slots=True)
class Sides:
    """The desired schema and the live one, and what each has that the other has not.

    `sizes` are the bytes of live tables, by identity (`public.users`); one that it does not know
    counts as one that holds rows: that is the careful guess. `renamed` holds the desired facts that
    are there under another name.
    """

    desired: Side
    live: Side
    missing: Side
    undeclared: Side
    renamed: Side
    sizes: Mapping[str, int]
    server_version: int

    def is_new(self, fact: Fact) -> bool:
        """Whether the relation that `fact` hangs on is not there yet."""
        return not self.live.on(
            (fact.schema, fact.relation), Kind.TABLE, Kind.VIEW, Kind.MATERIALIZED_VIEW
        )

    def is_plain(self, fact: Fact) -> bool:
        """Whether what hangs on the relation can be built at once: it is new, or has no rows."""
        return self.is_new(fact) or not self.size(fact)

    def size(self, fact: Fact) -> int:
        """Return the bytes of the relation that `fact` hangs on; 1 where they are not known."""
        return self.sizes.get(f"{fact.schema}.{fact.relation}", 1)

    def table_of(self, fact: Fact) -> Fact | None:
        """Return the table that `fact` hangs on, from the live side or else the desired one."""
        place = (Kind.TABLE, fact.schema, fact.relation)
        return self.live.get(*place) or self.desired.get(*place)


def _grouped(
    facts: Iterable[Fact], group: Callable[[Fact], Group]
) -> Mapping[Group, tuple[Fact, ...]]:
    groups: dict[Group, list[Fact]] = defaultdict(list)
    for fact in facts:
        groups[group(fact)].append(fact)
    return {key: tuple(members) for key, members in groups.items()}
