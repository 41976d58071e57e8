"""Privileges beyond those declared: revoked on new objects, only reported on existing ones.

If a GRANT, REVOKE or ALTER DEFAULT PRIVILEGES of the files covers an object, the grantees that it
names, and PUBLIC, should have no privileges on the object beyond the declared ones. Other objects
are not judged. What default privileges give on a new object is revoked in the transaction that
creates it, so that it is never in effect.
https://www.postgresql.org/docs/current/sql-alterdefaultprivileges.html
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from predeploy.contract.quoting import identifier
from predeploy.schema.comparison.owners import is_declared, withheld
from predeploy.schema.ddl import Report, Verdict, qualified, relation, warning
from predeploy.schema.facts import Fact
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.columns.inlined import inlined
from predeploy.schema.schema_pair import SchemaPair
from predeploy.schema.written import (
    ALL,
    CURRENT_USER,
    PUBLIC,
    Right,
    Sort,
    Target,
    Written,
    routine,
    target_of,
    unquoted,
)

_SORTS = {
    Kind.TABLE.value: Sort.RELATION,
    Kind.VIEW.value: Sort.RELATION,
    Kind.MATERIALIZED_VIEW.value: Sort.RELATION,
    Kind.SEQUENCE.value: Sort.SEQUENCE,
    Kind.ROUTINE.value: Sort.ROUTINE,
    Kind.AGGREGATE.value: Sort.ROUTINE,
    Kind.ENUM.value: Sort.TYPE,
    Kind.DOMAIN.value: Sort.TYPE,
    Kind.COMPOSITE.value: Sort.TYPE,
    Kind.RANGE.value: Sort.TYPE,
    Kind.SCHEMA.value: Sort.SCHEMA,
}
_SHOWN = 5
_OPTION = " WITH GRANT OPTION"

Object = tuple[Target, str]  # and its name in SQL
Held = dict[str, dict[str, bool]]  # by grantee: each privilege, and whether it is grantable


def revokes(made: Fact, pair: SchemaPair) -> Iterator[str]:
    """Yield the REVOKEs of undeclared default privileges on a new object, for named grantees."""
    for target, name in _made_by(made, pair):
        declared = pair.desired.rights_on(target)
        # Every new routine and type is open to PUBLIC unless that is revoked.
        if any(fact.get("revoked") for fact in declared):
            yield f"REVOKE ALL ON {name} FROM {PUBLIC}"
        by_default, wanted = _by_default(target, pair), _held(declared)
        for grantee in sorted(by_default.keys() & pair.written.grantees(target, pair.role)):
            given, kept = by_default[grantee], wanted.get(grantee, {})
            surplus = sorted(given.keys() - kept.keys())
            options = sorted(p for p in given.keys() & kept.keys() if given[p] > kept[p])
            who = _quoted(grantee)
            if surplus:
                what = ", ".join(surplus) if kept else "ALL"
                yield f"REVOKE {what} ON {name} FROM {who}"
            if options:
                yield f"REVOKE GRANT OPTION FOR {', '.join(options)} ON {name} FROM {who}"


def excess(changed: Iterable[tuple[Fact, Fact]], pair: SchemaPair) -> Iterator[Report]:
    """Report grantees with more privileges on live objects than the files that cover them give."""
    if not pair.written.rights:
        return
    more = [live for live in pair.undeclared.all(Kind.GRANT) if _is_more(live, pair)]
    passed_on = [
        live
        for desired, live in changed
        if live.get("grantable") and not desired.get("grantable") and _is_more(live, pair)
    ]
    held: dict[tuple[str, str], list[tuple[Fact, str]]] = defaultdict(list)
    for live, option in (*((f, "") for f in more), *((f, _OPTION) for f in passed_on)):
        held[live.get("on"), live.get("grantee")].append((live, option))
    for (name, grantee), rights in sorted(held.items(), key=lambda item: item[0]):
        yield _more(name, grantee, rights, pair)
    for live in pair.undeclared.all(Kind.GRANT):
        target = target_of(live) if live.get("revoked") else None
        if target is not None and pair.written.grantees(target, pair.role):
            yield _less_for_public(live)
    for live in pair.live.all(Kind.GRANT):
        if live.get("owned"):
            yield from _more_for_its_owner(live, pair)
    yield from _more_by_default(pair)


def undeclared_defaults(made: Iterable[Fact], pair: SchemaPair) -> Iterator[Report]:
    """Report once what default privileges grant on new objects that no file covers."""
    told: dict[str, list[str]] = defaultdict(list)
    for fact in made:
        for target, _ in _made_by(fact, pair):
            spoken_of = pair.written.grantees(target, pair.role)
            for grantee, rights in sorted(_by_default(target, pair).items()):
                if grantee not in spoken_of:
                    what = f"{', '.join(sorted(rights))} to {_quoted(grantee)}"
                    told[f"{target.schema}.{target.name}".lstrip(".")].append(what)
    if not told:
        return
    by_words: dict[str, list[str]] = defaultdict(list)
    for name, given in told.items():
        by_words["; ".join(dict.fromkeys(given))].append(name)
    parts = (f"{words} (on {_some(objects)})" for words, objects in sorted(by_words.items()))
    yield Report(
        Verdict.NOTE,
        "default-privileges",
        f"default privileges of {pair.role}",
        f"default privileges of this database grant on what is made: {', and '.join(parts)}",
        "nothing, if that is meant; else declare a REVOKE, which is then run with the CREATE",
    )


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest


def _made_by(fact: Fact, pair: SchemaPair) -> Iterator[Object]:
    """Yield the objects that a missing desired fact creates: itself and its columns' sequences."""
    sort = _SORTS.get(fact.kind)
    if sort in (Sort.RELATION, Sort.SEQUENCE):
        word = "SEQUENCE" if sort is Sort.SEQUENCE else "TABLE"
        yield Target(sort, fact.schema, fact.relation), f"{word} {relation(fact)}"
    elif sort is Sort.ROUTINE:
        yield routine(fact.schema, fact.name), f"ROUTINE {identifier(fact.schema)}.{fact.name}"
    elif sort is Sort.TYPE:
        yield Target(sort, fact.schema, fact.name), f"TYPE {qualified(fact)}"
    elif sort is Sort.SCHEMA:
        yield Target(sort, "", fact.schema), f"SCHEMA {identifier(fact.schema)}"
    columns: tuple[Fact, ...] = (fact,) if fact.kind == Kind.COLUMN.value else ()
    if fact.kind == Kind.TABLE.value:
        columns = inlined(fact, pair)
    for place in (column.listed("sequence name") for column in columns):
        if place:
            name = ".".join(map(identifier, place))
            yield Target(Sort.SEQUENCE, place[0], place[1]), f"SEQUENCE {name}"


def _held(rights: Iterable[Fact]) -> Held:
    held: Held = defaultdict(dict)
    for fact in rights:
        if fact.get("grantee") and not fact.get("columns"):
            is_grantable = bool(fact.get("grantable"))
            held[unquoted(fact.get("grantee"))][fact.get("privilege")] = is_grantable
    return held


def _by_default(target: Target, pair: SchemaPair) -> Held:
    """Return what the live default privileges give on objects that the role creates."""
    given = pair.live.defaults_of(pair.role, target.sort.value)
    return _held(fact for fact in given if fact.schema in ("", target.schema))


def _is_more(live: Fact, pair: SchemaPair) -> bool:
    """Whether the files cover a live grant's object and grantee, and do not declare the grant."""
    target = target_of(live) if live.get("grantee") else None
    if target is None:
        return False
    grantee = unquoted(live.get("grantee"))
    if grantee not in pair.written.grantees(target, pair.role):
        return False
    if _is_told_by_revokes(grantee, target, pair):
        return live.get("privilege") in withheld(target, pair.desired)
    if target.sort is Sort.SCHEMA and grantee == PUBLIC:
        # The privileges of PUBLIC on `public` come with the database, not from a file.
        named = (n for n in pair.written.namings(target, pair.role) if PUBLIC in n.grantees)
        return any(live.get("privilege") in n.privileges or not n.privileges for n in named)
    if live.get("columns"):
        whole = _held(pair.desired.rights_on(target)).get(grantee, {})
        return live.get("privilege") not in whole
    return True


def _more(name: str, grantee: str, rights: Sequence[tuple[Fact, str]], pair: SchemaPair) -> Report:
    first, _ = rights[0]
    told = sorted(f"{f.get('privilege')}{f.get('columns')}{option}" for f, option in rights)
    target = target_of(first)
    declared = _held(pair.desired.rights_on(target)) if target is not None else {}
    wanted = ", ".join(sorted(declared.get(unquoted(grantee), {}))) or "nothing"
    left = f"where schema.sql leaves it {wanted}"
    if target is not None and _is_told_by_revokes(unquoted(grantee), target, pair):
        left = "which schema.sql takes from it"
    return Report(
        Verdict.DRIFT,
        "more-rights",
        f"grant {name.partition(' ')[2]} to {grantee}",
        f"{grantee} has {', '.join(told)} on {name}, {left}; that stays",
        f"in a migration: {'; '.join(_revoked(name, grantee, rights))}",
        wanted,
        ", ".join(told),
    )


def _is_told_by_revokes(grantee: str, target: Target, pair: SchemaPair) -> bool:
    """Whether only REVOKEs cover the grantee: predeploy's role, to which no file grants anything.

    That role owns every declared object, so it has all privileges that no REVOKE takes.
    """
    declared = pair.desired.rights_on(target)
    return grantee == pair.role and all(unquoted(f.get("grantee")) != grantee for f in declared)


def _more_for_its_owner(owned: Fact, pair: SchemaPair) -> Iterator[Report]:
    """Report privileges that a live object's owner has although the files revoke them."""
    target, name, owner = target_of(owned), owned.get("on"), owned.get("owner")
    if target is None or not is_declared(target, pair.desired):
        return
    said = pair.written.namings_of_grantee(unquoted(owner), target, pair.role)
    taken = frozenset[Right]().union(*(naming.taken for naming in said))
    kept = _held(pair.desired.rights_on(target)).get(unquoted(owner), {})
    more = [
        privilege
        for privilege in owned.listed("held")
        if privilege not in kept and not taken.isdisjoint(((ALL, ""), (privilege, "")))
    ]
    if not more:
        return
    told, wanted = ", ".join(more), ", ".join(sorted(kept)) or "nothing"
    yield Report(
        Verdict.DRIFT,
        "more-rights",
        f"grant {name.partition(' ')[2]} to {owner}",
        f"{owner}, which owns it, has {told} on {name}, which schema.sql takes from it; that stays",
        f"in a migration: REVOKE {told} ON {name} FROM {owner}",
        wanted,
        told,
    )


def _revoked(name: str, grantee: str, rights: Sequence[tuple[Fact, str]]) -> Iterator[str]:
    for option, how in (("", ""), (_OPTION, "GRANT OPTION FOR ")):
        told = sorted(f"{f.get('privilege')}{f.get('columns')}" for f, o in rights if o == option)
        if told:
            yield f"REVOKE {how}{', '.join(told)} ON {name} FROM {grantee}"


def _less_for_public(live: Fact) -> Report:
    return warning(
        live,
        "less-for-public",
        f"PUBLIC has no {live.get('privilege')} on {live.get('on')}, which schema.sql leaves to it",
        f"declare it: REVOKE ALL ON {live.get('on')} FROM PUBLIC; or grant it in a migration",
    )


def _more_by_default(pair: SchemaPair) -> Iterator[Report]:
    """Report default privileges beyond those that the files declare."""
    held: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for live in pair.undeclared.all(Kind.DEFAULT_PRIVILEGE):
        if live.get("grantee") and _is_spoken_of(live, pair.written, pair.role):
            of = tuple(live.get(name) for name in ("role", "in", "on", "grantee"))
            held[of].append(live.get("privilege"))
    for (role, schema, objects, grantee), privileges in sorted(held.items()):
        whose = f"{role} in {schema}" if schema else role
        where = f" IN SCHEMA {schema}" if schema else ""
        told = ", ".join(sorted(privileges))
        yield Report(
            Verdict.DRIFT,
            "more-by-default",
            f"default privilege {schema or 'everywhere'}.{objects} to {grantee} for {role}",
            f"default privileges of {whose} give {grantee} {told} on {objects}, and "
            "schema.sql does not; they stay as they are",
            f"in a migration: ALTER DEFAULT PRIVILEGES FOR ROLE {role}{where} REVOKE {told} "
            f"ON {objects} FROM {grantee}",
            "none",
            told,
        )


def _is_spoken_of(live: Fact, written: Written, role: str) -> bool:
    for naming in written.defaults:
        whose = {"": role, CURRENT_USER: role}.get(naming.role, naming.role)
        place = (unquoted(live.get("role")), live.schema, live.get("on"))
        if place == (whose, naming.schema, naming.sort.value):
            grantees = {role if name == CURRENT_USER else name for name in naming.grantees}
            if unquoted(live.get("grantee")) in grantees:
                return True
    return False


def _quoted(grantee: str) -> str:
    return grantee if grantee == PUBLIC else identifier(grantee)
