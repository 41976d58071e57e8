"""Compares the shape of a live object with the shape that a statement declares.

PostgreSQL prints both: that of the live object, and that of a probe created by the statement itself
next to an empty copy of the table. The probe is created in the ledger's schema, because a temporary
table cannot reference a permanent one, and in a savepoint that is rolled back.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import psycopg

from predeploy.contract.plan import ABSENT, Drift
from predeploy.contract.quoting import identifier, literal
from predeploy.contract.statement import Address, Creatable
from predeploy.database.catalog import operator_names
from predeploy.database.catalog.naming_drift import named
from predeploy.database.server import wire
from predeploy.database.server.path import OWN_PATH
from predeploy.database.server.rows import typed
from predeploy.database.server.transaction import RESET_ROLE, row_security_sql
from predeploy.database.server.wire import Connection
from predeploy.judgment.drift import satisfies
from predeploy.sql import ColumnRemoval, Creation
from predeploy.sql.statement.creation import PROBE, PROBE_PART

_SAVEPOINT = "predeploy_probe"
_RELATION = "relation"  # what a name refers to, whatever was declared
_PARTITION = "partition"
# Qualified, for queries that run with the file's search_path.
_EQUALS = "operator(pg_catalog.=)"

# By kind: schema, relation (empty if it belongs to none), name, shape. To be run with predeploy's
# search_path, so that every name is printed with its schema.
_SHAPES = {
    _RELATION: """
        select n.nspname, '', c.relname,
               concat_ws(' ', case c.relkind
                   when 'r' then 'table' when 'p' then 'table partitioned by' when 'v' then 'view'
                   when 'm' then 'materialized view' when 'S' then 'sequence'
                   when 'i' then 'index' when 'I' then 'index' when 'f' then 'foreign table'
                   else 'composite type' end, pg_catalog.pg_get_partkeydef(c.oid))
        from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace""",
    _PARTITION: """
        select n.nspname, '', c.relname, 'of ' || coalesce((
            select concat_ws('.', pn.nspname, p.relname)
            from pg_catalog.pg_inherits i
            join pg_catalog.pg_class p on p.oid = i.inhparent
            join pg_catalog.pg_namespace pn on pn.oid = p.relnamespace
            where i.inhrelid = c.oid and c.relispartition), 'nothing')
        from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace""",
    Creatable.COLUMN.value: """
        select n.nspname, c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)
        from pg_catalog.pg_attribute a
        join pg_catalog.pg_class c on c.oid = a.attrelid
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where a.attnum > 0 and not a.attisdropped""",
    Creatable.CONSTRAINT.value: """
        select n.nspname, c.relname, k.conname, pg_catalog.pg_get_constraintdef(k.oid)
        from pg_catalog.pg_constraint k
        join pg_catalog.pg_class c on c.oid = k.conrelid
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace""",
    Creatable.INDEX.value: """
        select n.nspname, '', i.relname,
               concat_ws(' ', case when x.indisunique then 'unique' end, 'on',
                         concat_ws('.', n.nspname, c.relname),
                         substring(pg_catalog.pg_get_indexdef(i.oid) from ' (USING .*)'),
                         case when not x.indisvalid and i.relkind = 'i' then 'INVALID' end)
        from pg_catalog.pg_index x
        join pg_catalog.pg_class i on i.oid = x.indexrelid
        join pg_catalog.pg_class c on c.oid = x.indrelid
        join pg_catalog.pg_namespace n on n.oid = i.relnamespace""",
    Creatable.SEQUENCE.value: """
        select n.nspname, '', c.relname,
               format('%s from %s by %s between %s and %s cache %s%s',
                      pg_catalog.format_type(s.seqtypid, null), s.seqstart, s.seqincrement,
                      s.seqmin, s.seqmax, s.seqcache, case when s.seqcycle then ' cycle' end)
        from pg_catalog.pg_sequence s
        join pg_catalog.pg_class c on c.oid = s.seqrelid
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace""",
    Creatable.TYPE.value: """
        select n.nspname, '', t.typname, case t.typtype
            when 'e' then 'enum ' || coalesce((
                select jsonb_agg(e.enumlabel order by e.enumsortorder)
                from pg_catalog.pg_enum e where e.enumtypid = t.oid), '[]')::text
            when 'c' then case when (select c.relkind from pg_catalog.pg_class c
                                     where c.oid = t.typrelid) = 'c'
                     then 'composite ' else 'row type ' end || coalesce((
                select jsonb_agg(a.attname || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod)
                                 order by a.attnum)
                from pg_catalog.pg_attribute a
                where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped),
                '[]')::text
            when 'r' then 'range of ' || (
                select concat_ws(' ', pg_catalog.format_type(r.rngsubtype, null),
                    'opclass ' || (select concat_ws('.', n.nspname, o.opcname)
                        from pg_catalog.pg_opclass o
                        join pg_catalog.pg_namespace n on n.oid = o.opcnamespace
                        where o.oid = r.rngsubopc and not o.opcdefault),
                    'collation ' || nullif(r.rngcollation, s.typcollation)::regcollation::text,
                    'canonical ' || nullif(r.rngcanonical, 0)::regprocedure::text,
                    'difference ' || nullif(r.rngsubdiff, 0)::regprocedure::text)
                from pg_catalog.pg_range r
                join pg_catalog.pg_type s on s.oid = r.rngsubtype
                where r.rngtypid = t.oid)
            when 'd' then 'domain over ' || pg_catalog.format_type(t.typbasetype, t.typtypmod)
            else 'base type' end
        from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace""",
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
    answer = wire.send(conn, "; ".join(_questions(creation, home, schema)), on_tick=on_tick)
    wire.ask(conn, f"rollback to savepoint {_SAVEPOINT}; release savepoint {_SAVEPOINT}")
    if answer.error is not None:
        return Unproved(answer.error)
    live, declared = (
        {(kind, name): shape for kind, name, shape in typed(tuple[str, str, str], answer.rows(i))}
        for i in (-2, -1)
    )
    if not live:
        return Unproved()
    # An index's shape names its table, which for the probe is the probe's own.
    of_probe, of_home = f"on {schema}.{PROBE} ", f"on {'.'.join(home)} "
    wanted = {key: shape.replace(of_probe, of_home) for key, shape in sorted(declared.items())}
    # Only declared parts are compared: what the live object has in addition is no drift.
    found = tuple(
        Drift(kind, _name(creation.address, home, part), shape, live.get((kind, part), ABSENT))
        for (kind, part), shape in wanted.items()
        if not satisfies(shape, live.get((kind, part), ABSENT))
    )
    return named(conn, found)


def _compare_parents(
    conn: Connection, creation: Creation, home: tuple[str, str]
) -> tuple[Drift, ...]:
    """Return a drift unless the live table is a partition of the statement's parent."""
    schema, name = home
    parent = operator_names.oid_of(conn, creation.parent)
    ((live, declared),) = wire.ask_within(
        conn,
        f"""select (select q.shape from ({_SHAPES[_PARTITION]}) q(schema, relation, name, shape)
                   where q.schema = {literal(schema)} and q.name = {literal(name)}),
               'of ' || (select concat_ws('.', n.nspname, c.relname) from pg_catalog.pg_class c
                         join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                         where c.oid = {parent})""",
    )
    drift = Drift(_PARTITION, ".".join(home), declared or "", live or ABSENT)
    return () if live == declared else named(conn, [drift])


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
    """Return the query of every drift in the ledger, with the object's current shape."""
    shapes = " union all ".join(
        f"""select {literal(kind)}, concat_ws('.', q.schema, nullif(q.relation, ''), q.name),
            q.shape from ({query}) q(schema, relation, name, shape)"""
        for kind, query in _SHAPES.items()
    )
    return f"""
        select m.file, d.kind, d.name, d.declared, d.live, d.is_adopted, s.shape
        from {identifier(schema)}.migration m
        cross join lateral pg_catalog.jsonb_to_recordset(m.drifts)
            d(kind text, name text, declared text, live text, is_adopted boolean)
        left join lateral (
            select s.shape from ({shapes}) s(kind, name, shape)
            where s.kind = d.kind and s.name = d.name limit 1) s on true
        order by m.applied_at, m.file, d.kind, d.name"""


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


def _questions(creation: Creation, home: tuple[str, str], schema: str) -> Iterator[str]:
    """Yield the statements of a proof; the last two return (kind, part, shape), live first."""
    address = creation.address
    yield f"savepoint {_SAVEPOINT}"
    yield from RESET_ROLE  # the file's role may not create objects in the ledger's schema
    if address.kind in (Creatable.CONSTRAINT, Creatable.INDEX):
        # Indexes are not copied: a second primary key would be refused, and none is needed here.
        yield (
            f"create table {identifier(schema)}.{PROBE} "
            f"(like {identifier(home[0])}.{identifier(home[1])} including all excluding indexes)"
        )
    yield row_security_sql(is_on=True)  # a key of an empty table cannot miss hidden rows
    yield creation.probe
    yield OWN_PATH
    yield _shapes_sql(address.kind, *home, address.name)
    own = {Creatable.CONSTRAINT: PROBE_PART, Creatable.INDEX: PROBE_PART}
    yield _shapes_sql(address.kind, schema, PROBE, own.get(address.kind, address.name))


def _shapes_sql(kind: Creatable, schema: str, relation: str, name: str) -> str:
    """Return the query of the shapes that an object consists of, as (kind, part, shape)."""
    here = f"q.schema = {literal(schema)}"
    itself = f"{here} and q.name = {literal(name if kind is Creatable.INDEX else relation)}"
    part = f"{here} and q.relation = {literal(relation)}"
    named = f"{part} and q.name = {literal(name)}"
    match kind:
        case Creatable.TABLE:
            asked = [(_RELATION, "''", itself), (Creatable.COLUMN.value, "q.name", part)]
        case Creatable.COLUMN:
            asked = [(kind.value, "q.name", named)]
        case Creatable.CONSTRAINT:
            asked = [(kind.value, "''", named)]
        case Creatable.INDEX | Creatable.SEQUENCE:
            asked = [(_RELATION, "''", itself), (kind.value, "''", itself)]
        case Creatable.TYPE:
            asked = [(kind.value, "''", itself)]
    return " union all ".join(
        f"""select {literal(of)}, {told}::text, q.shape
        from ({_SHAPES[of]}) q(schema, relation, name, shape) where {condition}"""
        for of, told, condition in asked
    )


def _name(address: Address, home: tuple[str, str], part: str) -> str:
    """Return the name of an object or its part, as messages and predeploy.toml give it."""
    match address.kind:
        case Creatable.INDEX:
            return f"{home[0]}.{address.name}"
        case Creatable.CONSTRAINT:
            return ".".join((*home, address.name))
        case _:
            return ".".join((*home, part)) if part else ".".join(home)


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
