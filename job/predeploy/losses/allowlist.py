"""What a `-- predeploy: allow VERB OBJECT` means, and which losses it leaves undeclared. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from predeploy.contract.step import Declaration
from predeploy.losses.loss import Loss, Verb


@dataclass(frozen=True, slots=True)
class Names:
    """What names mean before a step: `schemas` are the search_path, `tables` those there are.

    `above` holds, by a table's name, those of the tables from which it has its columns, at any
    height; `partitions` are the tables that are partitions, and `partitioned` those that have
    partitions, or may have. `made` are the tables and types that need no declaration: this ledger
    created them on a database without rows.
    """

    schemas: tuple[str, ...] = ()
    tables: frozenset[str] = frozenset()
    above: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    partitions: frozenset[str] = frozenset()
    partitioned: frozenset[str] = frozenset()
    made: frozenset[str] = frozenset()

    @property
    def parents(self) -> frozenset[str]:
        """The tables that others have their columns from, or may have elsewhere."""
        with_heirs = (parent for above in self.above.values() for parent in above)
        return self.partitioned | frozenset(with_heirs)

    def cover(self, declaration: Declaration, loss: Loss) -> bool:
        """Return whether the declaration covers the loss.

        A declaration for a table also covers its partitions, and the rows and columns of tables
        that inherit from it. A loss known only from the file's text (IF EXISTS) may have no schema
        either.
        """
        if declaration.verb != loss.verb.value:
            return False
        wanted = declaration.target
        return any(self._mean(wanted, target) for target in (loss.target, *self._above(loss)))

    def is_made(self, loss: Loss) -> bool:
        """Return whether the lost object is one that needs no declaration."""
        whole, of_a_part = loss.target, loss.target.rpartition(".")[0]
        return (of_a_part if loss.verb in _OF_PARTS else whole) in self.made

    def _mean(self, wanted: str, target: str) -> bool:
        is_named = target in self._meant(wanted) or wanted in self._meant(target)
        if is_named or WILD not in wanted:
            return is_named
        pattern = pattern_of(wanted)
        homes = (name.removeprefix(f"{schema}.") for schema in self.schemas for name in (target,))
        return any(pattern.fullmatch(name) for name in (target, *homes))

    def _above(self, loss: Loss) -> tuple[str, ...]:
        """Return the names that the loss would have in the tables above its own."""
        if loss.target in self.above:
            is_kept = loss.verb is Verb.DROP_TABLE and loss.target not in self.partitions
            return () if is_kept else self.above[loss.target]
        table, _, part = loss.target.rpartition(".")
        return tuple(f"{parent}.{part}" for parent in self.above.get(table, ()))

    def _meant(self, name: str) -> tuple[str, ...]:
        """Return the name and what it means: in the first schema that has such a table, or in any.

        A table's columns are where it is. Of labels only the types are known that have lost some.
        """
        table = name.partition(".")[0]
        there = (s for s in self.schemas if f"{s}.{table}" in self.tables)
        first = next(there, None)
        return (name, *(f"{schema}.{name}" for schema in ([first] if first else self.schemas)))


WILD = "*"
"""Matches any characters within one part of a name, as in `tenant_*.inventory`."""
_OF_PARTS = (Verb.DROP_COLUMN, Verb.DROP_LABEL, Verb.REWRITE)


def pattern_of(target: str) -> re.Pattern[str]:
    """Return the regular expression for the names that a declaration with wildcards matches."""
    return re.compile("[^.]*".join(map(re.escape, target.split(WILD))))


def names_all(target: str) -> bool:
    """Return whether a declaration's target consists of wildcards only."""
    return WILD in target and not target.replace(WILD, "").replace(".", "").strip()


def undeclared(
    found: Iterable[Loss], declarations: Iterable[Declaration], names: Names
) -> tuple[Loss, ...]:
    """Return the losses that no declaration covers."""
    said = tuple(declarations)

    def is_declared(loss: Loss) -> bool:
        return any(names.cover(d, loss) for d in said)

    def are_parts_declared(loss: Loss) -> bool:
        parts = (Loss(loss.verb, part) for part in loss.parts)
        return bool(loss.parts) and all(map(is_declared, parts))

    return tuple(loss for loss in found if not (is_declared(loss) or are_parts_declared(loss)))


def to_declare(found: Iterable[Loss], names: Names) -> tuple[Loss, ...]:
    """Return those of the losses whose declarations cover all of them, each once."""
    losses_found = tuple(dict.fromkeys(found))
    chosen: list[Loss] = []
    by_height = sorted(losses_found, key=lambda loss: _height(loss, names))
    for loss in by_height:
        said = (one.declaration for one in chosen)
        if undeclared([loss], said, names):
            chosen.append(loss)
    return tuple(loss for loss in losses_found if loss in chosen)


def _height(loss: Loss, names: Names) -> int:
    """Return how many tables are above the one that has the loss."""
    table = loss.target if loss.target in names.tables else loss.target.rpartition(".")[0]
    return len(names.above.get(table, ()))


def to_ask(found: Iterable[Loss], names: Names) -> tuple[Loss, ...]:
    """Return the losses without those that need no declaration: predeploy made the objects."""
    return tuple(loss for loss in found if not names.is_made(loss))


def unused(
    found: Iterable[Loss], declarations: Iterable[Declaration], names: Names
) -> tuple[Declaration, ...]:
    """Return the declarations that no loss matches: a misspelt object, or a stale line."""
    happened = tuple(found)
    unseen = (d for d in declarations if not d.is_seen)
    return tuple(d for d in unseen if not any(names.cover(d, loss) for loss in happened))
