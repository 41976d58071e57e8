"""Grants that were lost because an object was dropped and recreated under the same name. Pure.

A recreated view or function is a new object with the default grants, so roles that could use the
old one may have lost access.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

Grant = tuple[str, str]
"""A privilege, followed by its column in parentheses if it is on a column, and the grantee."""
PUBLIC = "PUBLIC"
_BY_DEFAULT = {
    "routine": frozenset({("EXECUTE", PUBLIC)}),
    "type": frozenset({("USAGE", PUBLIC)}),
}


@dataclass(frozen=True, slots=True)
class Granted:
    """An object and its grants other than the owner's; `kind` and `name` as GRANT spells them."""

    kind: str
    name: str
    grants: frozenset[Grant]


@dataclass(frozen=True, slots=True)
class Ungranted:
    """A recreated object, the grants that it had, and those that PUBLIC has by default.

    If PUBLIC's default grants had been revoked, they have to be revoked again.
    """

    kind: str
    name: str
    grants: tuple[Grant, ...]
    opened: tuple[Grant, ...] = ()

    def __str__(self) -> str:
        """Return the text for a message."""
        told = []
        if self.grants:
            had = "; ".join(f"{what} to {grantee}" for grantee, what in _by_grantee(self.grants))
            told.append(f"its grants are gone: {had}")
        told += [f"{what} is granted to PUBLIC again" for _, what in _by_grantee(self.opened)]
        return f"{self.name} was recreated, and {', and '.join(told)}"

    @property
    def remedy(self) -> str:
        """The statements that restore the grants."""
        on = f"ON {self.kind.upper()} {self.name}"
        return " ".join(
            (
                *(f"GRANT {what} {on} TO {who};" for who, what in _by_grantee(self.grants)),
                *(f"REVOKE {what} {on} FROM PUBLIC;" for _, what in _by_grantee(self.opened)),
            )
        )


def _by_grantee(grants: Iterable[Grant]) -> Iterable[tuple[str, str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for privilege, grantee in grants:
        found[grantee].append(privilege)
    return ((grantee, ", ".join(privileges)) for grantee, privileges in found.items())


Grants = Mapping[tuple[str, int], Granted]
"""Objects with grants, by kind and OID."""


def dropped(before: Grants, after: Grants) -> tuple[Granted, ...]:
    """Return the objects that had grants and whose OID no longer exists."""
    return tuple(granted for key, granted in before.items() if key not in after)


def ungranted(
    gone: Iterable[Granted], there: Container[tuple[str, str]], after: Grants
) -> tuple[Ungranted, ...]:
    """Return the objects of `gone` that exist again by kind and name, with different grants."""
    now = {(g.kind, g.name): g.grants for g in after.values()}
    found = []
    for old in gone:
        key = (old.kind, old.name)
        if key not in there:
            continue
        new = now.get(key, _BY_DEFAULT.get(old.kind, frozenset()))
        missing, more = old.grants - new, new - old.grants
        opened = tuple(sorted(grant for grant in more if grant[1] == PUBLIC))
        if missing or opened:
            found.append(Ungranted(*key, tuple(sorted(missing)), opened))
    return tuple(found)
