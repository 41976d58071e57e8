"""Objects that exist under a name other than the one that the files give explicitly.

A name that PostgreSQL generated carries no meaning, so a twin of another name is accepted. A chosen
name is part of the declaration: an app can use it, as in ON CONFLICT ON CONSTRAINT.
https://www.postgresql.org/docs/current/sql-insert.html
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from predeploy.contract.quoting import identifier
from predeploy.schema.ddl import Report, Verdict, relation
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.namespaces import INDEXES, WITH_INDEX, Name, names_of, takers
from predeploy.schema.schema_pair import SchemaPair

_HANGS_ON_TABLE = (
    Kind.CONSTRAINT.value, Kind.PARTITION_CONSTRAINT.value, Kind.DOMAIN_CONSTRAINT.value,
    Kind.NOT_NULL.value,
)  # fmt: skip


def misnamed(twins: Mapping[Fact, Fact], pair: SchemaPair) -> Iterator[Report]:
    """Report the twins of explicitly named objects, with the RENAME as the remedy.

    The report is BREAKING if an app can use the name, and a warning otherwise.
    """
    taken = takers(pair.live, twins)
    for desired, live in twins.items():
        if not pair.written.has_name_of(desired):
            continue
        is_used = desired.get("type") in WITH_INDEX
        fails = "; ON CONFLICT ON CONSTRAINT with the declared name fails" if is_used else ""
        remedy = f"in a migration: {_freed(desired, taken)}{_rename(desired, live)}"
        if live.get("inherited"):
            remedy = (
                f"declare it as {own_name(live)}: PostgreSQL renames no NOT NULL that is inherited"
            )
        yield Report(
            Verdict.BREAKING if is_used else Verdict.WARNING,
            "other-name",
            desired.label,
            f"{desired.label} is there under another name, {own_name(live)}{fails}",
            remedy,
            live=f"named {own_name(live)}",
        )


def own_name(fact: Fact) -> str:
    """Return the object's name: `relation` if the fact has no `name`, as for a sequence."""
    return fact.name or fact.relation


def moved(comment: Fact, twins: Mapping[tuple[str, ...], Fact]) -> Fact | None:
    """Return a comment as it is on its subject's twin; None if the subject has no twin.

    `twins` are keyed by the comment's subject, as `subjects` returns them.
    """
    what, _, name = comment.name.partition(" ")
    twin = twins.get((what, comment.schema, comment.relation, name))
    if twin is None:
        return None
    found = _described(twin, what)
    attributes = (("on", found[2]), ("text", comment.get("text")))
    return replace(comment, relation=found[0], name=found[1], attributes=attributes)


def subjects(twins: Mapping[Fact, Fact]) -> dict[tuple[str, ...], Fact]:
    """Return the twins, keyed by the terms in which comments name the desired objects."""
    found: dict[tuple[str, ...], Fact] = {}
    for desired, live in twins.items():
        if desired.kind in _HANGS_ON_TABLE:
            found["constraint", desired.schema, desired.relation, desired.name] = live
        if desired.kind == Kind.SEQUENCE.value:
            found["sequence", desired.schema, desired.relation, ""] = live
        elif desired.kind in INDEXES or desired.get("type") in WITH_INDEX:
            found["index", desired.schema, desired.name, ""] = live
    return found


def _described(twin: Fact, what: str) -> tuple[str, str, str]:
    """Return relation and name of a comment on a twin, and the twin's name in SQL."""
    if what == "constraint":
        of = "DOMAIN " if _is_of_domain(twin) else ""
        on = f"CONSTRAINT {identifier(twin.name)} ON {of}{relation(twin)}"
        return twin.relation, f"constraint {twin.name}", on
    name = own_name(twin)
    on = f"{what.upper()} {identifier(twin.schema, name)}"
    return name, what, on


def _is_of_domain(constraint: Fact) -> bool:
    return constraint.kind == Kind.DOMAIN_CONSTRAINT.value or bool(constraint.get("domain"))


def _rename(desired: Fact, live: Fact) -> str:
    new, old = identifier(own_name(desired)), identifier(own_name(live))
    if desired.kind in _HANGS_ON_TABLE:
        word = "DOMAIN" if _is_of_domain(desired) else "TABLE"
        return f"ALTER {word} {relation(live)} RENAME CONSTRAINT {old} TO {new}"
    word = "SEQUENCE" if desired.kind == Kind.SEQUENCE.value else "INDEX"
    return f"ALTER {word} {identifier(live.schema)}.{old} RENAME TO {new}"


def _freed(desired: Fact, taken: Mapping[Name, Fact]) -> str:
    """Return the first step of the remedy if another object has the name; else an empty string."""
    others = [taken[name] for name in names_of(desired) if name in taken]
    return f"give {others[0].label} another name, then " if others else ""
