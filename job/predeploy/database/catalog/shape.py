"""Compares a live object with what a statement declares, both read as facts.

What is declared is read from a probe: it is created by the statement itself next to an empty copy
of the table. The probe is created in the ledger's schema, because a temporary table cannot
reference a permanent one, and in a savepoint that is rolled back.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import psycopg
from psycopg import pq

from predeploy.contract.plan import ABSENT, Drift
from predeploy.contract.quoting import identifier, literal
from predeploy.contract.statement import Address, Creatable
from predeploy.database.catalog import operator_names
from predeploy.database.server import wire
from predeploy.database.server.rows import Row, typed
from predeploy.database.server.transaction import RESET_ROLE, row_security_sql, settings_sql
from predeploy.database.server.wire import Connection
from predeploy.judgment.drift import Standing, satisfies
from predeploy.schema.described import RECORDED, Recorded, recorded
from predeploy.schema.facts import Fact, as_printed
from predeploy.schema.kind import Kind
from predeploy.schema.kinds import READ_WITH, every_sql
from predeploy.sql import ColumnRemoval, Creation
from predeploy.sql.statement.creation import PROBE, PROBE_PART

_SAVEPOINT = "predeploy_probe"
_LEAVE = (f"rollback to savepoint {_SAVEPOINT}", f"release savepoint {_SAVEPOINT}")
# Qualified, for queries that run with the file's search_path.
_EQUALS = "operator(pg_catalog.=)"

# By where a fact has its name: relations in `relation`, the others in `name`.
_RELATIONS = (Kind.TABLE, Kind.VIEW, Kind.MATERIALIZED_VIEW, Kind.SEQUENCE)
_TYPES = (Kind.ENUM, Kind.DOMAIN, Kind.COMPOSITE, Kind.RANGE)
_OTHERS = (Kind.INDEX, Kind.COMPOSITE)  # they share the names of relations
# What is compared, in the ledger's words.
_COMPARED = {
    Creatable.TABLE: ("relation", "column"),
    Creatable.COLUMN: ("column",),
    Creatable.CONSTRAINT: ("constraint",),
    Creatable.INDEX: ("relation", "index"),
    Creatable.SEQUENCE: ("relation", "sequence"),
    Creatable.TYPE: ("type",),
}
_PARTS = (Creatable.COLUMN, Creatable.CONSTRAINT, Creatable.INDEX)


@dataclass(frozen=True, slots=True)
class Unproved:
    """Why no comparison was possible: the probe's error, or None if there is no live object."""

    error: psycopg.Error | None = None


def absent_sql(addresses: Iterable[Address]) -> str:
    """Return a SELECT that fails (22012) if one of the addresses is taken already.

    It runs among a file's statements, whose search_path resolves the names.
    """
    taken = " or ".join(map(_is_taken_sql, addresses))
    return f"select 1 operator(pg_catalog./) (not ({taken}))::pg_catalog.int4"


def is_taken(conn: Connection, address: Address) -> bool:
    """Whether an object of that name exists; asked in the open transaction."""
    return wire.ask_plainly(conn, f"select {_is_taken_sql(address)}") == [("t",)]


def compare(
    conn: Connection, creation: Creation, schema: str, on_tick: Callable[[], None]
) -> tuple[Drift, ...] | Unproved:
    """Compare the live object with what the statement declares; empty if they are the same.

    Runs in the open transaction and with its search_path; `schema` is the ledger's. A part that is
    missing is a Drift whose `live` is ABSENT. `on_tick` is needed because the probe may wait for
    locks.
    """
    home = _home(conn, creation.address)
    if home is None:
        return Unproved()
    if creation.parent:
        return _compare_parents(conn, creation, home)
    reply = wire.send_named(conn, dict(_questions(creation, home, schema)), on_tick=on_tick)
    wire.ask(conn, "; ".join(_LEAVE))
    if reply.answer.error is not None:
        return Unproved(reply.answer.error)
    words = _COMPARED[creation.address.kind]
    live = recorded(as_printed([*reply.rows("live"), *reply.rows("home")]))
    probe = (_moved(fact, creation.address, home) for fact in as_printed(reply.rows("declared")))
    declared = {key: found for key, found in recorded(probe).items() if key[0] in words}
    if declared.keys().isdisjoint(live):
        return Unproved()
    # Only declared parts are compared: what the live object has in addition is no drift.
    return tuple(_drifts(declared, live))


def _drifts(
    declared: Mapping[tuple[str, str], Recorded], live: Mapping[tuple[str, str], Recorded]
) -> Iterator[Drift]:
    for (word, name), wanted in sorted(declared.items()):
        there = live.get((word, name))
        if there is None:
            yield Drift(word, name, wanted.text, ABSENT)
        elif not satisfies(wanted.text, there.text):
            drift = Drift(word, name, wanted.text, there.text)
            yield replace(drift, key=there.key, shape=there.accepted)


def _moved(fact: Fact, address: Address, home: tuple[str, str]) -> Fact:
    """Return a fact of the probe as it would be of the object itself."""
    is_named = fact.kind == Kind.COLUMN.value or fact.name not in (PROBE, PROBE_PART)
    name = fact.name if is_named else address.name
    relation = fact.relation
    if relation == PROBE:
        relation = home[1] if address.kind in _PARTS else address.name
    return replace(fact, schema=home[0], relation=relation, name=name)


def _compare_parents(
    conn: Connection, creation: Creation, home: tuple[str, str]
) -> tuple[Drift, ...]:
    """Return a drift unless the live table is a partition of the statement's parent."""
    parent = operator_names.oid_of(conn, creation.parent)
    rows = wire.ask_within(
        conn,
        f"""select concat_ws('.', n.nspname, c.relname) from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = {parent}""",
    )
    key = ("partition", ".".join(home))
    declared = {key: Recorded(*key, f"of {rows[0][0]}" if rows else "")}
    live = _read(conn, _every_sql(creation.address.kind, *home, home[1]))
    return tuple(_drifts(declared, live))


def left_from(conn: Connection, departure: ColumnRemoval) -> str | None:
    """Return the table's name if it exists without the column and with its successor, if any."""
    there = """exists (select from pg_catalog.pg_attribute
        where attrelid = c.oid and not attisdropped and attname = """
    successor = f"and {there}{literal(departure.successor)})" if departure.successor else ""
    rows = wire.ask_within(
        conn,
        f"""select concat_ws('.', n.nspname, c.relname) from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.oid = {operator_names.oid_of(conn, departure.home)}
          and not {there}{literal(departure.column)}) {successor}""",
    )
    return rows[0][0] if rows else None


def standing_sql(schema: str) -> str:
    """Return the query of every drift in the ledger, for `standing`."""
    return f"""
        select m.file, d.kind, d.name, d.declared, d.live, d.is_adopted
        from {identifier(schema)}.migration m
        cross join lateral pg_catalog.jsonb_to_recordset(m.drifts)
            d(kind text, name text, declared text, live text, is_adopted boolean)
        order by m.applied_at, m.file, d.kind, d.name"""


def standing(conn: Connection, rows: Sequence[Row]) -> tuple[Standing, ...]:
    """Return the drifts that the ledger holds, and what is there now.

    Reads that in a transaction of its own, and nothing if there are no drifts.
    """
    held = [
        (file, Drift(kind, name, declared, live, is_adopted))
        for file, kind, name, declared, live, is_adopted in typed(
            tuple[str, str, str, str, str, bool], rows
        )
    ]
    if not held:
        return ()
    names = ", ".join(sorted({literal(drift.name) for _, drift in held}))
    of_schema = "concat_ws('.', q.schema, nullif(q.name, ''))"
    of_table = "concat_ws('.', q.schema, nullif(q.relation, ''), nullif(q.name, ''))"
    # An index's table tells what its being invalid means.
    condition = f"""({of_table} in ({names}) or {of_schema} in ({names})
        or q.name = '' and (q.schema, q.relation) in (
            select tn.nspname, t.relname from pg_catalog.pg_index x
            join pg_catalog.pg_class i on i.oid = x.indexrelid
            join pg_catalog.pg_namespace n on n.oid = i.relnamespace
            join pg_catalog.pg_class t on t.oid = x.indrelid
            join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
            where concat_ws('.', n.nspname, i.relname) in ({names})))"""
    live = _read(conn, every_sql(RECORDED, condition))
    return tuple(_standing(file, drift, live.get((drift.kind, drift.name))) for file, drift in held)


def _standing(file: str, drift: Drift, there: Recorded | None) -> Standing:
    if there is None:
        return Standing(file, drift, ABSENT)
    return Standing(file, replace(drift, key=there.key, shape=there.accepted), there.text)


def _read(conn: Connection, query: str) -> dict[tuple[str, str], Recorded]:
    """Read what is there; in the open transaction, or else in one of its own."""
    is_idle = conn.pgconn.transaction_status == pq.TransactionStatus.IDLE
    # Rolled back, so that the settings for reading facts do not stay in effect.
    begin, end = ("begin", ("rollback",)) if is_idle else (f"savepoint {_SAVEPOINT}", _LEAVE)
    (rows,) = wire.ask_all(conn, [query], opening=[begin, settings_sql(READ_WITH)], closing=end)
    return recorded(as_printed(rows))


def _home(conn: Connection, address: Address) -> tuple[str, str] | None:
    """Find the schema and name of the relation that the object belongs to, or would be."""
    if address.kind in _PARTS:
        rows = wire.ask_within(
            conn,
            f"""select n.nspname, c.relname from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where c.oid = {operator_names.oid_of(conn, _relation_name(address))}""",
        )
    else:
        rows = wire.ask_plainly(conn, f"select {_schema_sql(address)}, {literal(address.relation)}")
    return next(iter(typed(tuple[str, str], rows)), None)


def _questions(
    creation: Creation, home: tuple[str, str], schema: str
) -> Iterator[tuple[Hashable, str]]:
    """Yield the statements of a proof by name; three of them return facts."""
    address = creation.address
    is_part = address.kind in (Creatable.CONSTRAINT, Creatable.INDEX)
    yield "savepoint", f"savepoint {_SAVEPOINT}"
    # The file's role may not create objects in the ledger's schema.
    yield from ((text, text) for text in RESET_ROLE)
    if is_part:
        # Indexes are not copied: a second primary key would be refused, and none is needed here.
        like = f"like {identifier(home[0])}.{identifier(home[1])} including all excluding indexes"
        yield "table", f"create table {identifier(schema)}.{PROBE} ({like})"
    yield "row security", row_security_sql(is_on=True)  # a key misses no rows of an empty table
    yield "probe", creation.probe
    yield "settings", settings_sql(READ_WITH)
    here = f"q.schema = {literal(home[0])} and q.relation = {literal(home[1])}"
    yield "home", every_sql((Kind.TABLE,), here)
    yield "live", _every_sql(address.kind, *home, address.name)
    name = PROBE_PART if is_part else address.name if address.kind is Creatable.COLUMN else PROBE
    yield "declared", _every_sql(address.kind, schema, PROBE, name)


def _every_sql(kind: Creatable, schema: str, relation: str, name: str) -> str:
    """Return the query of the facts that an object consists of."""
    here = f"q.schema = {literal(schema)}"
    part = f"{here} and q.relation = {literal(relation)}"
    itself = f"{here} and q.relation = {literal(name)}"
    named = f"{here} and q.name = {literal(name)}"
    match kind:
        case Creatable.TABLE:
            asked = [((*_RELATIONS, Kind.COLUMN), part), (_OTHERS, named)]
        case Creatable.COLUMN | Creatable.CONSTRAINT:
            asked = [((Kind(kind.value),), f"{part} and {named}")]
        case Creatable.INDEX | Creatable.SEQUENCE:
            asked = [(_RELATIONS, itself), (_OTHERS, named)]
        case Creatable.TYPE:
            asked = [(_TYPES, named), (_RELATIONS, itself)]
    return " union all ".join(every_sql(kinds, condition) for kinds, condition in asked)


def _is_taken_sql(address: Address) -> str:
    """Return an SQL expression: whether an object of that name exists.

    Its operators are schema-qualified, because it runs with the file's search_path.
    """
    match address.kind:
        case Creatable.COLUMN:
            return f"""exists (select from pg_catalog.pg_attribute
                where attrelid {_EQUALS} {_relation_sql(address)} and not attisdropped
                  and attname {_EQUALS} {literal(address.name)})"""
        case Creatable.CONSTRAINT:
            return f"""exists (select from pg_catalog.pg_constraint
                where conrelid {_EQUALS} {_relation_sql(address)}
                  and conname {_EQUALS} {literal(address.name)})"""
        case Creatable.INDEX:
            return f"""exists (select from pg_catalog.pg_class i
                join pg_catalog.pg_class t on t.relnamespace {_EQUALS} i.relnamespace
                where t.oid {_EQUALS} {_relation_sql(address)}
                  and i.relname {_EQUALS} {literal(address.name)})"""
        case _:
            return f"""exists (select from pg_catalog.pg_class c
                join pg_catalog.pg_namespace n on n.oid {_EQUALS} c.relnamespace
                where n.nspname {_EQUALS} {_schema_sql(address)}
                  and c.relname {_EQUALS} {literal(address.name)})"""


def _relation_sql(address: Address) -> str:
    return f"pg_catalog.to_regclass({literal(_relation_name(address))})"


def _relation_name(address: Address) -> str:
    return ".".join(identifier(part) for part in (address.schema, address.relation) if part)


def _schema_sql(address: Address) -> str:
    return literal(address.schema) if address.schema else "pg_catalog.current_schema()"
