"""Whether a live table that is declared as a partition can be attached without reading a row.

https://www.postgresql.org/docs/current/sql-altertable.html, ATTACH PARTITION: a CHECK that proves
the bounds avoids the scan, and an equal index or key of the table avoids building one.
"""

import re
from collections.abc import Iterator

from predeploy.schema.facts import FLAG, Fact
from predeploy.schema.kind import Kind
from predeploy.schema.kinds.columns.column_ddl import printed
from predeploy.schema.kinds.indexes.index_ddl import twin
from predeploy.schema.schema_pair import SchemaPair

ATTRIBUTES = frozenset(("partition of", "bound"))
_ALIKE = ("type", "collation", "generated", "expression", "not null")
_NAME = r'("(?:[^"]|"")+"|[\w$]+)'
_COLUMN = rf"\(\(?{_NAME}\)?(?:::text)?"
# Comparisons with constants, as PostgreSQL prints them in a CHECK.
_PLAIN = re.compile(rf"{_COLUMN} (>=|<|=) ([^()]+|\(-?\d+\))\)")
_ANY = re.compile(rf"{_COLUMN} = ANY \(\(?ARRAY\[(.*?)\]")
_VALUE = re.compile(r"\(*'?(.*?)'?\)?(?:::.*)?")
_RANGE = re.compile(r"FOR VALUES FROM \((.*)\) TO \((.*)\)")
_LIST = re.compile(r"FOR VALUES IN \((.*)\)")
_KEY = re.compile(rf"(RANGE|LIST) \({_NAME}\)")

Clause = tuple[str, str, str]


def has_index(thing: Fact) -> bool:
    """Whether it is an index, or a key, which has one."""
    return thing.kind == Kind.INDEX.value or thing.get("type") in ("primary key", "unique")


def obstacle(desired: Fact, live: Fact, pair: SchemaPair) -> str:
    """Return why a live table is not attached; empty if it is."""
    schema, name = desired.listed("partition of") or ("", "")
    place = (schema, name)
    parent = pair.live.get(Kind.TABLE, *place)
    if parent is None or live.get("partition of") or live.get("inherits"):
        return "it is, or will be, part of something else"
    if why := _columns_differ(desired, pair):
        return why
    lacking = [*_lacking(parent, live, pair)]
    if lacking:
        return f"it has nothing like {lacking[0].label}"
    if not pair.size(live):
        return ""
    if any(pair.size(d) for d in pair.live.below(place) if d.get("bound") == "DEFAULT"):
        return "the default partition would be read under a lock"
    return "" if _is_proved(desired, parent, live, pair) else "no CHECK of it proves its bounds"


def _columns_differ(desired: Fact, pair: SchemaPair) -> str:
    place = (desired.schema, desired.relation)
    wanted = {c.name: c for c in pair.desired.on(place, Kind.COLUMN)}
    there = {c.name: c for c in pair.live.on(place, Kind.COLUMN)}
    if wanted.keys() != there.keys() or any(c.get("identity") for c in there.values()):
        return "its columns are others"
    differing = (n for n, c in wanted.items() if any(c.get(a) != there[n].get(a) for a in _ALIKE))
    name = next(differing, "")
    return f"its column {name} has another shape" if name else ""


def _lacking(parent: Fact, live: Fact, pair: SchemaPair) -> Iterator[Fact]:
    """Yield the parent's constraints and indexes that the table cannot get without being read."""
    has_rows, is_plain = pair.size(live), live.get("kind") == "table"
    for fact in pair.live.on((parent.schema, parent.relation), Kind.INDEX, Kind.CONSTRAINT):
        there = twin(fact, live, pair)
        is_there = there is not None and not there.get("invalid") and not there.get("not valid")
        if fact.get("type") == "check":
            # A partition need not have a CHECK of its parent that is NO INHERIT.
            is_own = "NO INHERIT" in fact.get("definition")
            if not is_own and (there is None or there.name != fact.name):
                yield fact
        elif has_rows and not is_there and not (is_plain and has_index(fact)):
            yield fact


def _is_proved(desired: Fact, parent: Fact, live: Fact, pair: SchemaPair) -> bool:
    needed = _bounds(parent.get("partition key"), desired.get("bound"))
    if not needed:
        return False
    column = needed[0][0]
    place = (live.schema, live.relation)
    columns = pair.live.on(place, Kind.COLUMN)
    if not any(printed(c.name) == column and c.get("not null") == FLAG for c in columns):
        return False
    known = {
        clause
        for check in pair.live.on(place, Kind.CONSTRAINT)
        if check.get("type") == "check" and not check.get("not valid")
        for clause in _clauses(check.get("definition"))
    }
    return all(_follows(clause, known) for clause in needed)


def _follows(clause: Clause, known: set[Clause]) -> bool:
    column, operator, values = clause
    if operator != "in":
        return clause in known
    allowed = set(values.split("\n"))
    held = [set(v.split("\n")) for c, o, v in known if c == column and o in ("in", "=")]
    return any(values <= allowed for values in held)


def _bounds(key: str, bound: str) -> tuple[Clause, ...]:
    """Return what the bounds require of a row; empty if they cannot be parsed."""
    column = _KEY.fullmatch(key)
    if column and (values := _LIST.fullmatch(bound)) and column[1] == "LIST":
        return ((column[2], "in", "\n".join(map(_value, values[1].split(", ")))),)
    ends = _RANGE.fullmatch(bound)
    if not column or not ends or column[1] != "RANGE":
        return ()
    return tuple(
        (column[2], operator, _value(end))
        for operator, end in ((">=", ends[1]), ("<", ends[2]))
        if end not in ("MINVALUE", "MAXVALUE")
    )


def _clauses(check: str) -> Iterator[Clause]:
    """Yield the comparisons that a CHECK guarantees; none if it is more than a conjunction."""
    if " OR " in check or "NOT " in check:
        return
    for column, operator, value in _PLAIN.findall(check):
        yield column, operator, _value(value)
    for column, values in _ANY.findall(check):
        yield column, "in", "\n".join(map(_value, values.split(", ")))


def _value(text: str) -> str:
    """Return a constant without its quotes and its type."""
    match = _VALUE.fullmatch(text.strip())
    return match[1] if match else text
