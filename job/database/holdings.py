"""Counts what there is to lose, where a sign has made the sentinel suspicious."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from psycopg.errors import InsufficientPrivilege

from job.database import wire
from job.database.wire import Connection, identifier, literal
from job.delivery import Name
from job.loss import Holdings, Table

_SAVEPOINT = "predeploy_count"

# The relations of the composite types that a table has values of: in a column, or somewhere inside
# its type, which may be an array, a domain, a range or another composite type.
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
) -> Holdings:
    """Look at what there is to lose, in the open transaction; count rows of `suspects` and `named`.

    A partition is counted with all others of its root, so that a row that moves is not lost, and a
    named table with what inherits from it. A name without schema is one in a schema of `path`, or
    in any where that is None. What a materialized view holds is not counted: it can be refreshed.
    Large objects are the rows of pg_catalog.pg_largeobject_metadata.
    """
    theirs = f"""n.nspname !~ '^(pg_|information_schema$)' and n.nspname <> {literal(schema)}"""
    tables, columns, labels = _ask_all(
        conn,
        f"""select c.oid, n.nspname, c.relname, c.relfilenode,
                   case when c.relispartition then pg_catalog.pg_partition_root(c.oid)::oid
                   else 0 end,
                   pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid),
                   pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid), c.relkind,
                   pg_catalog.row_security_active(c.oid), (
                       select pg_catalog.string_agg(i.inhparent::text, ' ')
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
    )
    relations = {relation.oid: relation for relation in map(_relation, tables)}
    wanted = {*suspects, *_named(conn, relations, named, path)}
    rows = _count_all(conn, relations, wanted)
    return Holdings(
        {
            r.oid: Table(
                r.name,
                r.filenode,
                rows.get(r.oid),
                inserted=r.inserted,
                deleted=r.deleted,
                root=r.root,
                parents=r.parents,
                is_partitioned=r.kind == "p",
            )
            for r in relations.values()
        },
        {(int(oid or 0), int(number)): name or "" for oid, number, name, _ in columns if number},
        {int(oid or 0): name or "" for oid, name, _ in labels},
        frozenset(int(oid or 0) for oid, *_, kind in columns if kind == "c"),
        {int(oid or 0): int(enum or 0) for oid, _, enum in labels},
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
    is_veiled: bool
    parents: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.schema}.{self.relname}"

    @property
    def sql(self) -> str:
        only = "" if self.kind == "p" else "only "
        return f"{only}{identifier(self.schema)}.{identifier(self.relname)}"


def _relation(row: wire.Row) -> _Relation:
    oid, schema, name, filenode, root, inserted, deleted, kind, is_veiled, parents = row
    return _Relation(
        int(oid or 0), schema or "", name or "", int(filenode or 0), int(root or 0),
        int(inserted or 0), int(deleted or 0), kind or "", is_veiled == "t",
        tuple(map(int, (parents or "").split())),
    )  # fmt: skip


def _ask_all(conn: Connection, *queries: str) -> list[list[wire.Row]]:
    answer = wire.send(conn, ";\n".join(queries))
    if answer.error is not None:
        with wire.translated(conn):
            raise answer.error
    return [answer.rows(index) for index in range(len(queries))]


def _named(
    conn: Connection,
    relations: Mapping[int, _Relation],
    named: Collection[Name],
    path: Collection[str] | None,
) -> set[int]:
    """Find the tables of these names, and all that inherit from them."""
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


def _count_all(
    conn: Connection, relations: Mapping[int, _Relation], wanted: Collection[int]
) -> dict[int, int]:
    """Count rows, in one round trip where row-level security does not hide any."""
    tops = {relations[oid].root or oid for oid in wanted if oid in relations}
    asked = [relations[oid] for oid in sorted(tops) if relations[oid].kind != "m"]
    of_asked = {r.oid for r in asked}
    leaves = (r for r in relations.values() if r.kind == "r")
    rows = {r.oid: 0 for r in leaves if (r.root or r.oid) in of_asked}
    plain = [_count_sql(r) for r in asked if not r.is_veiled]
    if plain:
        rows |= _numbers(wire.ask(conn, " union all ".join(plain)))
    for veiled in (r for r in asked if r.is_veiled):
        known = _unveiled(conn, veiled)
        rows |= {veiled.oid: veiled.inserted - veiled.deleted} if known is None else known
    return rows


def _count_sql(relation: _Relation) -> str:
    return f"select tableoid, pg_catalog.count(*) from {relation.sql} group by tableoid"


def _listed(oids: Iterable[int]) -> str:
    return ", ".join(map(str, oids))


def _unveiled(conn: Connection, relation: _Relation) -> dict[int, int] | None:
    """Count behind row-level security, which hides rows from a table's owner where it is forced.

    In a savepoint that is rolled back, lock and all. None where we don't own the table: then only
    what the transaction itself has put in and taken out is known.
    """
    name = f"{identifier(relation.schema)}.{identifier(relation.relname)}"
    answer = wire.send(
        conn,
        f"savepoint {_SAVEPOINT}; alter table {name} no force row level security; "
        f"{_count_sql(relation)}",
    )
    rows = answer.rows(-1) if answer.error is None else []
    wire.ask(conn, f"rollback to savepoint {_SAVEPOINT}; release savepoint {_SAVEPOINT}")
    if answer.error is None:
        return _numbers(rows)
    if answer.error.sqlstate == InsufficientPrivilege.sqlstate:
        return None
    with wire.translated(conn):
        raise answer.error


def _numbers(rows: list[wire.Row]) -> dict[int, int]:
    return {int(table or 0): int(amount or 0) for table, amount in rows}
