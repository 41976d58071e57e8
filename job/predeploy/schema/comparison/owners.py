"""The privileges of owners. In the shadow, predeploy's role owns everything that is declared.

A grant to the owner leaves no trace in the catalogs there, but the live object may have another
owner. https://www.postgresql.org/docs/current/ddl-priv.html
"""

from collections.abc import Iterator

from predeploy.contract.quoting import identifier
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.schema_pair import SchemaIndex
from predeploy.schema.written import (
    ALL,
    CURRENT_USER,
    Right,
    Sort,
    Target,
    Written,
    target_of,
    unquoted,
)

_ON_COLUMNS = ("INSERT", "REFERENCES", "SELECT", "UPDATE")


def grants_to_own_role(
    desired: frozenset[Fact], live: frozenset[Fact], written: Written, role: str
) -> frozenset[Fact]:
    """Return the grants of the files to predeploy's role that the shadow cannot show.

    These are grants on live objects that another role owns, or whose owner, predeploy's role, does
    not have all privileges. The role owns every object in the shadow, and a grant to the owner
    leaves no trace.
    """
    names = {role, CURRENT_USER}
    if not any(n.given and not names.isdisjoint(n.grantees) for n in written.rights):
        return frozenset()
    return frozenset(_grants_to_own_role(SchemaIndex(desired), SchemaIndex(live), written, role))


def withheld(target: Target, desired: SchemaIndex) -> frozenset[str]:
    """Return the privileges on an object that the files revoke from predeploy's role, its owner."""
    facts = desired.rights_on(target)
    return frozenset(fact.get("privilege") for fact in facts if fact.get("withheld"))


def is_declared(target: Target, desired: SchemaIndex) -> bool:
    """Whether the files declare the object; a sequence may also come from a column."""
    place = (target.schema, target.name)
    is_sequence = target.sort is Sort.SEQUENCE
    return not is_sequence or any((desired.get(Kind.SEQUENCE, *place), desired.numbered_by(*place)))


def _grants_to_own_role(
    desired: SchemaIndex, live: SchemaIndex, written: Written, role: str
) -> Iterator[Fact]:
    for about in live.all(Kind.GRANT):
        target = target_of(about) if about.get("owned") or about.get("withheld") else None
        if target is None or not is_declared(target, desired):
            continue
        there = live.rights_on(target)
        if about.get("withheld") and any(fact.get("owned") for fact in there):
            continue  # withheld from another owner, not from predeploy's role
        kept_back = withheld(target, desired)
        for privilege, column in _given_to_us(about, target, written, role):
            if privilege not in kept_back:
                known = (f for f in there if unquoted(f.get("grantee")) == role)
                alike = (f for f in known if _is_on(f, privilege, column))
                yield next(alike, _granted(about, target, privilege, column, role))


def _given_to_us(about: Fact, target: Target, written: Written, role: str) -> Iterator[Right]:
    """Yield what the files grant to predeploy's role on an object.

    If `about` is a single privilege that is withheld, yield at most that one.
    """
    rights = (right for n in written.namings_of_grantee(role, target, role) for right in n.given)
    for privilege, column in sorted(set(rights)):
        if about.get("withheld"):
            if not column and privilege in (ALL, about.get("privilege")):
                yield about.get("privilege"), ""
        elif privilege == ALL:
            every = _ON_COLUMNS if column else about.listed("usual")
            yield from ((each, column) for each in every)
        else:
            yield privilege, column


def _is_on(grant: Fact, privilege: str, column: str) -> bool:
    told = unquoted(grant.get("columns").strip(" ()"))
    return grant.get("privilege") == privilege and told == column


def _granted(about: Fact, target: Target, privilege: str, column: str, role: str) -> Fact:
    """Return the fact of a grant to predeploy's role."""
    part = column or ("schema" if target.sort is Sort.SCHEMA else about.get("of"))
    what = f"{privilege} on {part}" if part else privilege
    columns = (("columns", f" ({identifier(column)})"),) if column else ()
    grantee = identifier(role)
    return Fact(
        about.kind,
        about.schema,
        about.relation,
        f"{what} to {grantee}",
        (("privilege", privilege), *columns, ("on", about.get("on")), ("grantee", grantee)),
        about.order,
    )
