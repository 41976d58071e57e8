"""Looks at what a step could remove, and counts rows if the transaction's counters do not suffice.

Nothing here waits for the writes of other sessions. They do not appear in the transaction's own
counters, and if rows have to be counted before and after the step, the caller has locked out other
writers.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from psycopg.errors import InsufficientPrivilege

from predeploy.contract.quoting import identifier, literal
from predeploy.database.server import wire
from predeploy.database.server.rows import Row, typed
from predeploy.database.server.wire import Connection
from predeploy.judgment.ways import Name
from predeploy.losses import values
from predeploy.losses.loss import Holdings, Table

_SAVEPOINT = "predeploy_count"

# The relations of the composite types of which tables hold values: in a column, or anywhere inside
# the column's type, which may be an array, a domain, a range or another composite type.
_COMPOSITES = """
    with recursive held(type) as (
        select a.atttypid
        from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
        where c.relkind in ('r', 'p') and c.oid >= 16384 and a.attnum > 0 and not a.attisdropped
        union
        select part.type
        from held join pg_catalog.pg_type t on t.oid = held.type
        left join pg_catalog.pg_range r on t.oid in (r.rngtypid, r.rngmultitypid)
        cross join lateral (
            values (t.typelem), (t.typbasetype), (r.rngsubtype)
            union all
            select a.atttypid from pg_catalog.pg_attribute a
            where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
        ) part(type)
        where part.type >= 16384
    )
    select t.typrelid from held join pg_catalog.pg_type t on t.oid = held.type"""


def read_holdings(
    conn: Connection,
    schema: str,
    suspects: Collection[int],
    named: Collection[Name] = (),
    path: Collection[str] | None = (),
    *,
    exactly: Collection[int] = (),
) -> Holdings:
    """Return what the step could remove, with the numbers of rows of `suspects` and `named`.

    Reads in the open transaction. The rows of large tables are only estimated, except for tables in
    `exactly`. A partition is counted together with all other partitions of its root, and a named
    table together with the tables that inherit from it. A name without schema stands for that name
    in each schema of `path`, or in every schema if `path` is None. The rows of a materialized view
    are not counted, because it can be refreshed. Large objects are the rows of
    pg_catalog.pg_largeobject_metadata.
    """
    seen = _look(conn, schema)
    wanted = {*suspects, *_named(conn, seen.relations, named, path)}
    asked = _with_partitions(seen.relations, wanted)
    exact = _with_partitions(seen.relations, exactly)
    estimates = _estimates(conn, asked - exact)
    rows = _count_all(conn, seen.relations, (asked | exact) - estimates.keys())
    return seen.holdings(rows, estimates)


def read_again(
    conn: Connection,
    other: Connection,
    schema: str,
    before: Holdings,
    exactly: Collection[int] = (),
) -> tuple[Holdings, Holdings]:
    """Look again after the step; count the rows of `exactly`.

    Return two states: `before`, adjusted for what other sessions have committed since, and the
    state now. `other` is any connection except the one that runs the step. Whether a table's new
    file contains the rows of the old one is found by reading at most one row more than the step
    has inserted.
    """
    seen = _look(conn, schema)
    rows = _count_all(conn, seen.relations, _with_partitions(seen.relations, exactly))
    after = seen.holdings(rows, {})
    before = _without_others_doing(other, before, after)
    tables = dict(after.tables)
    for oid, now in after.tables.items():
        table = before.tables.get(oid)
        if table is None or table.filenode == now.filenode or table.view is not None:
            continue
        left = (now.inserted - table.inserted) - (now.deleted - table.deleted)
        # TRUNCATE resets these counters to zero: after it, the table holds only what they count.
        was_kept = left < 0 or _at_most(conn, seen.relations[oid], left + 1) > left
        tables[oid] = replace(now, was_kept=was_kept)
    return before, replace(after, tables=tables)


def _without_others_doing(other: Connection, before: Holdings, after: Holdings) -> Holdings:
    """Return `before`, adjusted for what other sessions have committed since.

    What another session has dropped is left out. A table that another session has emptied or
    rewritten gets its new file, as if it had had that from the start; what this step has deleted
    from it is in the step's own counters. `other` tells whose change it was: for other sessions,
    what the step has dropped still exists, and a file that it has created does not exist yet.
    """
    tables = before.tables.keys() - after.tables.keys()
    labels = before.labels.keys() - after.labels.keys()
    columns = [key for key in before.columns if key not in after.columns and key[0] not in tables]
    moved = {
        oid
        for oid, table in before.tables.items()
        if oid in after.tables and after.tables[oid].filenode != table.filenode
    }
    if not (tables or labels or columns or moved):
        return before
    pairs = ", ".join(f"({oid}, {number})" for oid, number in columns) or "(0, 0)"
    relations, enums, attributes = wire.ask_all(
        other,
        (
            f"""select oid, relfilenode from pg_catalog.pg_class
            where oid in ({_listed({0, *tables, *moved})})""",
            f"select oid from pg_catalog.pg_enum where oid in ({_listed({0, *labels})})",
            f"""select attrelid, attnum from pg_catalog.pg_attribute
            where (attrelid, attnum) in ({pairs}) and not attisdropped""",
        ),
    )
    files = dict(typed(tuple[int, int], relations))
    gone = tables - files.keys()
    faded = labels - {oid for (oid,) in typed(tuple[int], enums)}
    lost = {*columns} - {*typed(tuple[int, int], attributes)}
    theirs = {oid for oid in moved if files.get(oid) == after.tables[oid].filenode}
    return replace(
        before,
        tables={
            oid: replace(table, filenode=files[oid]) if oid in theirs else table
            for oid, table in before.tables.items()
            if oid not in gone
        },
        columns={
            key: name
            for key, name in before.columns.items()
            if key not in lost and key[0] not in gone
        },
        labels={oid: name for oid, name in before.labels.items() if oid not in faded},
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """The contents of the catalogs at one moment."""

    relations: Mapping[int, "_Relation"]
    columns: Mapping[tuple[int, int], str]
    labels: Mapping[int, str]
    composites: frozenset[int]
    enums: Mapping[int, int]

    def holdings(self, rows: Mapping[int, int], estimates: Mapping[int, int]) -> Holdings:
        tables = {
            r.oid: Table(
                r.name,
                r.filenode,
                rows.get(r.oid, estimates.get(r.oid)),
                inserted=r.inserted,
                deleted=r.deleted,
                root=r.root,
                is_about=r.oid in estimates,
                view=r.view,
                parents=r.parents,
                is_partitioned=r.kind == "p",
            )
            for r in self.relations.values()
        }
        return Holdings(tables, self.columns, self.labels, self.composites, self.enums)


def _look(conn: Connection, schema: str) -> _Seen:
    theirs = f"""n.nspname !~ '^(pg_|information_schema$)' and n.nspname <> {literal(schema)}"""
    tables, columns, labels = wire.ask_all(
        conn,
        (
            f"""select c.oid, n.nspname, c.relname, c.relfilenode,
                   case when c.relispartition then pg_catalog.pg_partition_root(c.oid)::oid
                   else 0 end,
                   pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid),
                   pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid), c.relkind,
                   pg_catalog.row_security_active(c.oid),
                   case c.relkind when 'm' then (
                        select pg_catalog.json_agg(a.attname) from pg_catalog.pg_attribute a
                        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) end, (
                       select pg_catalog.json_agg(i.inhparent::bigint)
                       from pg_catalog.pg_inherits i where i.inhrelid = c.oid)
            from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where c.relkind in ('r', 'p', 'm') and {theirs}
               or c.oid = 'pg_catalog.pg_largeobject_metadata'::pg_catalog.regclass""",
            f"""select c.oid, a.attnum, concat_ws('.', n.nspname, c.relname, a.attname), c.relkind
            from pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            left join pg_catalog.pg_attribute a
              on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            where (c.relkind in ('r', 'p') or c.relkind = 'c' and c.oid in ({_COMPOSITES}))
              and {theirs}""",
            f"""select e.oid, concat_ws('.', n.nspname, t.typname, e.enumlabel), t.oid
            from pg_catalog.pg_enum e
            join pg_catalog.pg_type t on t.oid = e.enumtypid
            join pg_catalog.pg_namespace n on n.oid = t.typnamespace where {theirs}""",
        ),
    )
    found = typed(tuple[int, int, str, str], columns)
    enums = typed(tuple[int, str, int], labels)
    return _Seen(
        {relation.oid: relation for relation in typed(_Relation, tables)},
        {(oid, number): name for oid, number, name, _ in found if number},
        {oid: name for oid, name, _ in enums},
        frozenset(oid for oid, *_, kind in found if kind == "c"),
        {oid: enum for oid, _, enum in enums},
    )


@dataclass(frozen=True, slots=True)
class _Relation:
    oid: int
    schema: str
    relname: str
    filenode: int
    root: int
    inserted: int
    deleted: int
    kind: str
    has_active_row_security: bool
    columns: frozenset[str]
    parents: tuple[int, ...]

    @property
    def view(self) -> frozenset[str] | None:
        """The columns of a materialized view."""
        return self.columns if self.kind == "m" else None

    @property
    def name(self) -> str:
        return f"{self.schema}.{self.relname}"

    @property
    def sql(self) -> str:
        return identifier(self.schema, self.relname)

    @property
    def alone(self) -> str:
        """The table as an item of FROM, without the tables that inherit from it."""
        return f"only {self.sql}"


def _named(
    conn: Connection,
    relations: Mapping[int, _Relation],
    named: Collection[Name],
    path: Collection[str] | None,
) -> set[int]:
    """Return the tables with these names, and all tables that inherit from them."""
    found = {
        r.oid
        for r in relations.values()
        if (r.schema, r.relname) in named
        or (("", r.relname) in named and (path is None or r.schema in path))
    }
    if not found:
        return found
    heirs = wire.ask(
        conn,
        f"""with recursive heirs(oid) as (
            select c.oid from pg_catalog.pg_class c where c.oid in ({_listed(found)})
            union
            select i.inhrelid from pg_catalog.pg_inherits i join heirs on i.inhparent = heirs.oid
        )
        select oid from heirs""",
    )
    return {int(oid or 0) for (oid,) in heirs}


def _with_partitions(relations: Mapping[int, _Relation], wanted: Collection[int]) -> frozenset[int]:
    """Return the tables in `wanted` that store rows, and all partitions of their roots."""
    tops = {relations[oid].root or oid for oid in wanted if oid in relations}
    return frozenset(
        r.oid for r in relations.values() if r.kind == "r" and (r.root or r.oid) in tops
    )


def _estimates(conn: Connection, tables: Collection[int]) -> dict[int, int]:
    """Return estimated row counts of those tables that are too large to be counted together.

    An estimate is at least 1.
    """
    if not tables:
        return {}
    rows = wire.ask(
        conn,
        f"""select oid, rows from (
            select c.oid, greatest(c.reltuples, 1)::bigint,
                   sum(s.size) over (order by s.size, c.oid)
            from pg_catalog.pg_class c
            cross join lateral (select pg_catalog.pg_table_size(c.oid)) s(size)
            where c.oid in ({_listed(tables)})
        ) t(oid, rows, size)
        where t.size > {values.COUNTED_UP_TO}""",
    )
    return _numbers(rows)


def _count_all(
    conn: Connection, relations: Mapping[int, _Relation], tables: Collection[int]
) -> dict[int, int]:
    """Count rows, in one round trip for all tables in which row-level security hides none."""
    asked = [relations[oid] for oid in sorted(tables)]
    plain = [_count_sql(r) for r in asked if not r.has_active_row_security]
    rows = _numbers(wire.ask(conn, " union all ".join(plain))) if plain else {}
    for veiled in (r for r in asked if r.has_active_row_security):
        known = _unveiled(conn, veiled, _count_sql(veiled))
        rows[veiled.oid] = veiled.inserted - veiled.deleted if known is None else known
    return rows


def _count_sql(relation: _Relation) -> str:
    return f"select {relation.oid}, pg_catalog.count(*) from {relation.alone}"


def _at_most(conn: Connection, relation: _Relation, most: int) -> int:
    """Return how many rows a table has, but at most `most`."""
    query = f"""select {relation.oid}, pg_catalog.count(*)
        from (select from {relation.alone} limit {most}) r"""
    if relation.has_active_row_security:
        known = _unveiled(conn, relation, query)
        return 0 if known is None else known
    ((_, number),) = wire.ask(conn, query)
    return int(number or 0)


def _listed(oids: Iterable[int]) -> str:
    return ", ".join(map(str, oids))


def _unveiled(conn: Connection, relation: _Relation, query: str) -> int | None:
    """Return the number in a query's row, without row-level security, which may be forced.

    The setting is changed after a savepoint that is rolled back, which also releases the lock.
    Returns None if the role does not own the table: then only the rows that the transaction itself
    has inserted and deleted are known.
    """
    answer = wire.send(
        conn,
        f"savepoint {_SAVEPOINT}; alter table {relation.sql} no force row level security; {query}",
    )
    wire.ask(conn, f"rollback to savepoint {_SAVEPOINT}; release savepoint {_SAVEPOINT}")
    if answer.error is None:
        ((_, number),) = answer.last
        return int(number or 0)
    if answer.error.sqlstate == InsufficientPrivilege.sqlstate:
        return None
    with wire.translated(conn):
        raise answer.error


def _numbers(rows: list[Row]) -> dict[int, int]:
    return {int(table or 0): int(amount or 0) for table, amount in rows}
