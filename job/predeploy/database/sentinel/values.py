"""Counts the values of columns whose type is changed, if the change may lose some of them."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from psycopg.errors import UndefinedFunction

from predeploy.contract.quoting import identifier, literal
from predeploy.database.server import wire
from predeploy.database.server.rows import typed
from predeploy.database.server.wire import Connection
from predeploy.losses.loss import Holdings, Loss, Verb
from predeploy.losses.values import (
    COUNTED_UP_TO,
    ENUM,
    Column,
    Key,
    Shape,
    Values,
    hidden_conversions,
    lost_values,
)
from predeploy.sql import Conversion

_SAVEPOINT = "predeploy_values"


@dataclass(frozen=True, slots=True)
class Stake:
    """The column values that a step may lose, as they were before the step.

    `converted` are the columns whose type its text changes. `held` counts the values of those that
    may lose some and are not too large to count. `shapes` are all columns of the tables that are
    known to have rows.
    """

    converted: tuple[Column, ...]
    held: Mapping[Key, Values]
    shapes: Mapping[Key, Shape]

    @property
    def in_danger(self) -> tuple[Column, ...]:
        """The columns that may lose something."""
        return tuple(column for column in self.converted if column.may_lose)

    @property
    def conversions(self) -> tuple[Loss, ...]:
        """The rewrites that a file may declare, whether or not a value is lost."""
        return tuple(Loss(Verb.REWRITE, column.name) for column in self.converted)


def at_stake(conn: Connection, converted: tuple[Column, ...], before: Holdings) -> Stake:
    """Look at the columns before the step, in its transaction.

    If other sessions wrote meanwhile, the numbers would prove nothing: the caller locks out other
    writers first.
    """
    counted = (c for c in converted if c.may_lose and not c.is_too_large)
    held = {c.key: values for c in counted if (values := _count(conn, c))}
    return Stake(converted, held, _read_shapes(conn, before.filled))


def lost(conn: Connection, stake: Stake, gone: Iterable[Loss]) -> tuple[Loss, ...]:
    """Look again after the step, and return the values that it lost.

    `gone` are the losses already found, such as deleted rows.
    """
    left = _count_again(conn, stake.in_danger, stake.held)
    shapes = _read_shapes(conn, dict.fromkeys(table for table, _ in stake.shapes))
    return (
        *lost_values(stake.in_danger, stake.held, left, gone),
        *hidden_conversions(stake.shapes, shapes, stake.converted),
    )


def find_columns(
    conn: Connection, schema: str, asked: Sequence[Conversion], path: Collection[str] | None
) -> tuple[Column, ...]:
    """Return the existing columns that are converted, except those in the ledger's schema.

    A name without schema stands for a table in each schema of `path`, or in every schema if `path`
    is None: counting one too many does no harm.
    """
    if not asked:
        return ()
    listed = ", ".join(literal(name) for name in path or ())
    in_path = "true" if path is None else f"n.nspname = any (array[{listed}]::text[])"
    wanted = ", ".join(
        f"({i}, {literal(c.schema)}, {literal(c.table)}, {literal(c.column)},"
        f" {literal(c.type_sql)}, {literal(c.type_name)})"
        for i, c in enumerate(asked)
    )
    rows = wire.ask(
        conn,
        f"""select v.i, c.oid, a.attnum, pg_catalog.concat_ws('.', n.nspname, c.relname), a.attname,
               {_own("a.atttypid")}, a.atttypmod,
               {_own("pg_catalog.to_regtype(v.type)")},
               (select pg_catalog.bool_and(t.typtype = 'e') from pg_catalog.pg_type t
                where t.typname = v.type_name),
               (with recursive tree(relid) as (
                    select c.oid union select i.inhrelid
                    from tree join pg_catalog.pg_inherits i on i.inhparent = tree.relid)
                select pg_catalog.sum(pg_catalog.pg_table_size(relid)) from tree),
               (select pg_catalog.concat_ws('.', e.nspname, t.typname)
                from pg_catalog.pg_type t join pg_catalog.pg_namespace e on e.oid = t.typnamespace
                where t.oid = a.atttypid and t.typtype = 'e')
        from (values {wanted}) v(i, schema, relation, name, type, type_name)
        join pg_catalog.pg_class c on c.relname = v.relation and c.relkind in ('r', 'p')
        join pg_catalog.pg_namespace n
          on n.oid = c.relnamespace and (v.schema = n.nspname or v.schema = '' and {in_path})
         and n.nspname !~ '^(pg_|information_schema$)' and n.nspname <> {literal(schema)}
        join pg_catalog.pg_attribute a
          on a.attrelid = c.oid and a.attname = v.name and a.attnum > 0 and not a.attisdropped""",
    )
    return tuple(_column(row, asked) for row in typed(_Row, rows))


class _Row(NamedTuple):
    conversion: int  # its index in `asked`
    oid: int
    number: int
    table: str
    name: str
    old_type: str
    modifier: int
    new_type: str
    are_enums: bool
    size: int
    enum: str


def _column(row: _Row, asked: Sequence[Conversion]) -> Column:
    conversion = asked[row.conversion]
    new_type = row.new_type
    # User-defined types cannot be looked up with predeploy's search_path.
    if conversion.makes_enum or row.are_enums:
        new_type = ENUM + ("[]" if conversion.is_array else "")
    return Column(
        (row.oid, row.number), row.table, row.name, row.old_type, row.modifier, new_type,
        conversion.modifiers, conversion.is_plain, row.size, conversion.is_by_text, row.enum,
    )  # fmt: skip


def _read_shapes(conn: Connection, tables: Iterable[int]) -> dict[Key, Shape]:
    """Return the columns of these tables as they are now."""
    listed = ", ".join(map(str, tables))
    if not listed:
        return {}
    rows = wire.ask(
        conn,
        f"""select c.oid, a.attnum, pg_catalog.concat_ws('.', n.nspname, c.relname), a.attname,
               {_own("a.atttypid")}, a.atttypmod
        from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        join pg_catalog.pg_attribute a on a.attrelid = c.oid
        where c.oid in ({listed}) and a.attnum > 0 and not a.attisdropped""",
    )
    return {
        (oid, number): Shape(table, name, type_name, modifier)
        for oid, number, table, name, type_name, modifier in typed(
            tuple[int, int, str, str, str, int], rows
        )
    }


def _count_again(
    conn: Connection, columns: Iterable[Column], before: Mapping[Key, Values]
) -> dict[Key, Values]:
    """Count after the conversion; values that only the new type treats as equal count as different.

    For example, a conversion to citext or to a case-insensitive collation loses nothing.
    """
    after = {}
    for column in columns:
        values = _count(conn, column) if column.key in before else None
        if values is not None and values.distinct < before[column.key].distinct:
            as_text = _count(conn, column, as_text=True) or values
            values = Values(values.filled, max(values.distinct, as_text.distinct))
        if values is not None:
            after[column.key] = values
    return after


def tell_detached(conn: Connection, tables: Iterable[int]) -> Iterator[Loss]:
    """Yield the number of rows of each detached table, in the open transaction.

    The rows of a large table are estimated.
    """
    for table in tables:
        rows = wire.ask(
            conn,
            f"""select pg_catalog.concat_ws('.', n.nspname, c.relname),
                   coalesce((select pg_catalog.sum(pg_catalog.pg_table_size(relid))
                             from pg_catalog.pg_partition_tree(c.oid)),
                            pg_catalog.pg_table_size(c.oid)),
                   greatest(c.reltuples, 0)::bigint
            from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where c.oid = {table}""",
        )
        ((name, size, estimated),) = typed(tuple[str, int, int], rows)
        if size <= COUNTED_UP_TO:
            (count,) = _ask_unveiled(conn, table, "pg_catalog.count(*)")
            told = "1 row" if count == 1 else f"{count} rows"
        else:
            told = f"about {estimated} rows"
        yield Loss(Verb.DETACH, name, detail=told)


def _own(type_sql: str) -> str:
    """Return SQL for the name of a built-in type, or ENUM for an enum; an array's ends with []."""
    enum = literal(ENUM)
    return f"""(select case when t.typtype = 'e' then {enum}
               when e.typtype = 'e' then {enum} || '[]'
               when t.typcategory = 'A' then e.typname || '[]' else t.typname::text end
        from pg_catalog.pg_type t
        left join pg_catalog.pg_type e on e.oid = t.typelem and t.typcategory = 'A'
        where t.oid = {type_sql} and ('e' in (t.typtype, e.typtype)
              or t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace))"""


def _count(conn: Connection, column: Column, *, as_text: bool = False) -> Values | None:
    """Count the values of a column; None if it no longer exists."""
    table, number = column.key
    there = wire.ask(
        conn,
        f"""select a.attname, t.typname from pg_catalog.pg_attribute a
        join pg_catalog.pg_type t on t.oid = a.atttypid
        where a.attrelid = {table} and a.attnum = {number} and not a.attisdropped""",
    )
    if not there:
        return None
    ((name, now),) = typed(tuple[str, str], there)
    value = identifier(name)
    if now == "json" and column.new_type == "jsonb":
        value += "::pg_catalog.jsonb"  # differences that jsonb does not keep are no loss
    counted = f"{value}::pg_catalog.text" if as_text else value
    try:
        counts = f"pg_catalog.count({value}), pg_catalog.count(distinct {counted})"
        filled, distinct = _ask_unveiled(conn, table, counts)
    except _NoEqualityError:
        return _count(conn, column, as_text=True)
    return Values(filled, distinct)


class _NoEqualityError(Exception):
    """A type has no equality operator, so its distinct values cannot be counted."""


def _ask_unveiled(conn: Connection, table: int, counts: str) -> list[int]:
    """Return counts of a table's rows, including those that row-level security hides.

    Counts after a savepoint that is rolled back, which also releases the lock. Raises
    _NoEqualityError.
    """
    ((schema, name, has_active_row_security),) = wire.ask(
        conn,
        f"""select n.nspname, c.relname, pg_catalog.row_security_active(c.oid)
        from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.oid = {table}""",
    )
    named = f"{identifier(schema or '')}.{identifier(name or '')}"
    unveil = (
        f"alter table {named} no force row level security; "
        if has_active_row_security == "t"
        else ""
    )
    answer = wire.send(conn, f"savepoint {_SAVEPOINT}; {unveil}select {counts} from {named}")
    wire.ask(conn, f"rollback to savepoint {_SAVEPOINT}; release savepoint {_SAVEPOINT}")
    if answer.error is None:
        return [int(amount or 0) for amount in answer.last[0]]
    if answer.error.sqlstate == UndefinedFunction.sqlstate:
        raise _NoEqualityError
    with wire.translated(conn):
        raise answer.error
