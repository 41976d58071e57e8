"""The two schemas side by side, as the kinds look at them when they plan."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from job.schema.facts import Fact, Key
from job.schema.kind import Kind


@dataclass(frozen=True, slots=True)
class Sides:
    """Both sides' facts by key. `rows` says of live tables, by identity, whether they hold rows.

    A table that `rows` does not know counts as one with rows: that is the careful guess.
    """

    desired: Mapping[Key, Fact]
    live: Mapping[Key, Fact]
    rows: Mapping[str, bool]
    server_version: int

    def is_new(self, fact: Fact) -> bool:
        """Whether the relation that `fact` hangs on is not there yet."""
        return not any(
            (kind.value, fact.schema, fact.relation, "") in self.live
            for kind in (Kind.TABLE, Kind.VIEW, Kind.MATERIALIZED_VIEW)
        )

    def is_plain(self, fact: Fact) -> bool:
        """Whether what hangs on the relation can be built at once: it is new, or has no rows."""
        return self.is_new(fact) or not self.rows.get(f"{fact.schema}.{fact.relation}", True)

    def table_of(self, fact: Fact) -> Fact | None:
        """Return the table that `fact` hangs on, from the live side or else the desired one."""
        key = (Kind.TABLE.value, fact.schema, fact.relation, "")
        return self.live.get(key) or self.desired.get(key)

    def missing(self, *kinds: Kind) -> tuple[Fact, ...]:
        """Return the desired facts of these kinds whose key the live side lacks."""
        return _of(kinds, (f for key, f in self.desired.items() if key not in self.live))

    def undeclared(self, *kinds: Kind) -> tuple[Fact, ...]:
        """Return the live facts of these kinds whose key the desired side lacks."""
        return _of(kinds, (f for key, f in self.live.items() if key not in self.desired))


def _of(kinds: tuple[Kind, ...], facts: Iterable[Fact]) -> tuple[Fact, ...]:
    names = {kind.value for kind in kinds}
    return tuple(sorted((f for f in facts if f.kind in names), key=lambda fact: fact.key))
