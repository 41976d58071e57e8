"""A fact: one thing that a schema holds, told the way PostgreSQL itself prints it."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Fact:
    """`kind` and `identity` say what (`column`, `public.users.email`), `definition` how it is."""

    kind: str
    identity: str
    definition: str


@dataclass(frozen=True, slots=True)
class Difference:
    """How two sets of facts differ; each part sorted by kind and identity."""

    missing: tuple[Fact, ...]
    extra: tuple[Fact, ...]
    changed: tuple[tuple[Fact, Fact], ...]

    def __bool__(self) -> bool:
        """Whether they differ at all."""
        return bool(self.missing or self.extra or self.changed)


def compare(desired: Iterable[Fact], current: Iterable[Fact]) -> Difference:
    """Compare by kind and identity: what `current` lacks, has beside, and has in another shape."""
    wanted = {(f.kind, f.identity): f for f in desired}
    found = {(f.kind, f.identity): f for f in current}
    return Difference(
        missing=tuple(sorted(wanted[key] for key in wanted.keys() - found.keys())),
        extra=tuple(sorted(found[key] for key in found.keys() - wanted.keys())),
        changed=tuple(
            sorted(
                (wanted[key], found[key])
                for key in wanted.keys() & found.keys()
                if wanted[key] != found[key]
            )
        ),
    )
