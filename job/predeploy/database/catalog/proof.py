"""What the catalog shows about a non-transactional statement whose end was not seen.

Changes nothing. An index is proved by building the same index on an empty copy of the table, in a
transaction that is rolled back, and comparing the definitions that PostgreSQL prints.
"""

from enum import Enum, auto

from predeploy.contract.quoting import literal
from predeploy.database.catalog import operator_names
from predeploy.database.server import wire
from predeploy.database.server.path import OWN_PATH
from predeploy.database.server.rows import Row
from predeploy.database.server.wire import Connection
from predeploy.sql.statement.autocommit_target import (
    PROBE_INDEX,
    AutocommitTarget,
    Detach,
    IndexBuild,
    IndexDrop,
    Making,
    Publications,
    Rebuild,
    Removal,
    Shared,
)


class Proof(Enum):
    """What was proved."""

    DONE = auto()
    TO_DO = auto()
    HALF_DONE = auto()  # an invalid index, or a partition that waits for DETACH … FINALIZE
    NOTHING = auto()


def prove(conn: Connection, target: AutocommitTarget | None) -> Proof:
    """Judge the traces of a statement."""
    proof = Proof.TO_DO  # for what can simply be run again
    match target:
        case IndexBuild():
            proof = _prove_build(conn, target)
        case IndexDrop(indexes):
            is_there = any(operator_names.oid_of(conn, name) for name in indexes)
            proof = Proof.TO_DO if is_there else Proof.DONE
        case Detach():
            proof = _prove_detach(conn, target)
        case Making():
            proof = _prove_making(conn, target)
        case Removal(kind, name):
            proof = Proof.TO_DO if _owners(conn, kind, name) else Proof.DONE
        case Publications():
            proof = _prove_publications(conn, target)
        case None:
            proof = Proof.NOTHING
    return proof


def left_behind(conn: Connection, work: IndexBuild | Rebuild) -> tuple[str, ...]:
    """Return the invalid indexes, as SQL names, that such a statement leaves if it fails."""
    if isinstance(work, IndexBuild):
        rows = _indexes(conn, work, "not x.indisvalid")
    else:
        rows = wire.ask(conn, _copies_sql(conn, work))
    return tuple(row[0] or "" for row in rows)


def is_being_built(conn: Connection, build: IndexBuild) -> bool:
    """Whether another session is working on the table's indexes: it holds the lock of a build."""
    rows = operator_names.ask_about(
        conn,
        operator_names.oid_sql(build.table),
        f"""select exists (
            select from pg_catalog.pg_locks
            where locktype = 'relation' and granted and mode = 'ShareUpdateExclusiveLock'
              and relation = {operator_names.NAMED}::oid
              and database = (select oid from pg_catalog.pg_database
                              where datname = pg_catalog.current_database())
              and pid <> pg_catalog.pg_backend_pid())""",
    )
    return rows == [("t",)]


def _prove_build(conn: Connection, build: IndexBuild) -> Proof:
    rows = _indexes(conn, build, "true")
    if not rows:
        return Proof.TO_DO
    _, is_valid, found = rows[0]
    if is_valid != "t":
        return Proof.HALF_DONE
    return Proof.DONE if _shape(found or "") == _shape(_probe(conn, build)) else Proof.NOTHING


def _probe(conn: Connection, build: IndexBuild) -> str:
    """Return the definition of the same index, built on an empty copy of its table."""
    answer = wire.send(
        conn,
        f"""begin; create temporary table predeploy_probe (like {build.table} including all);
        {build.probe};
        {OWN_PATH};
        select pg_catalog.pg_get_indexdef('pg_temp.{PROBE_INDEX}'::pg_catalog.regclass)""",
    )
    wire.roll_back(conn)
    return answer.last[0][0] or "" if answer.last else ""


def _shape(definition: str) -> tuple[bool, str]:
    """Return whether the index is unique, and the definition after the table's name."""
    head, _, shape = definition.partition(" USING ")
    return head.startswith("CREATE UNIQUE"), shape


def _prove_detach(conn: Connection, detach: Detach) -> Proof:
    parent, child = (
        operator_names.oid_of(conn, detach.parent),
        operator_names.oid_of(conn, detach.child),
    )
    rows = wire.ask(
        conn,
        f"""select inhdetachpending from pg_catalog.pg_inherits
        where inhparent = {parent} and inhrelid = {child}""",
    )
    if not rows:
        # Also if one of the tables no longer exists.
        return Proof.DONE
    return Proof.HALF_DONE if rows[0][0] == "t" else Proof.TO_DO


# By kind: the query of the existing objects and their owners.
_SHARED = {
    Shared.DATABASE: "select datname, datdba from pg_catalog.pg_database",
    Shared.TABLESPACE: "select spcname, spcowner from pg_catalog.pg_tablespace",
    Shared.SUBSCRIPTION: """select subname, subowner from pg_catalog.pg_subscription
        where subdbid = (select oid from pg_catalog.pg_database
                         where datname = pg_catalog.current_database())""",
}


def _owners(conn: Connection, kind: Shared, name: str) -> list[Row]:
    """Return the owner of the object, and whether that is the connected role; no row if absent."""
    return wire.ask(
        conn,
        f"""select r.rolname, r.rolname = current_user from ({_SHARED[kind]}) s(name, owner)
        join pg_catalog.pg_roles r on r.oid = s.owner where s.name = {literal(name)}""",
    )


def _prove_making(conn: Connection, making: Making) -> Proof:
    """Judge an object that exists completely or not at all; another role's existed before."""
    rows = _owners(conn, making.kind, making.name)
    if not rows:
        return Proof.TO_DO
    owner, is_ours = rows[0]
    is_it = owner == making.owner if making.owner else is_ours == "t"
    return Proof.DONE if is_it else Proof.NOTHING


def _prove_publications(conn: Connection, target: Publications) -> Proof:
    rows = wire.ask(
        conn,
        f"""select p.name from pg_catalog.pg_subscription s
        cross join unnest(s.subpublications) p(name)
        where s.subname = {literal(target.subscription)}
          and s.subdbid = (select oid from pg_catalog.pg_database
                           where datname = pg_catalog.current_database())""",
    )
    there = {name for (name,) in rows} & {*target.publications}
    is_done = there == {*target.publications} if target.are_added else not there
    return Proof.DONE if is_done else Proof.TO_DO


def _indexes(conn: Connection, build: IndexBuild, condition: str) -> list[Row]:
    """Return (name, whether it is valid, definition) of the index with the build's name."""
    return operator_names.ask_about(
        conn,
        operator_names.oid_sql(build.table),
        f"""select x.indexrelid::pg_catalog.regclass::text, x.indisvalid,
               pg_catalog.pg_get_indexdef(x.indexrelid)
        from pg_catalog.pg_index x
        join pg_catalog.pg_class i on i.oid = x.indexrelid
        where x.indrelid = {operator_names.NAMED}::oid
          and i.relname = {literal(build.name)} and {condition}""",
    )


def _copies_sql(conn: Connection, rebuild: Rebuild) -> str:
    """Return the query of abandoned copies of indexes, found by the names that REINDEX gives them.

    https://www.postgresql.org/docs/current/sql-reindex.html#SQL-REINDEX-CONCURRENTLY
    """
    table = str(operator_names.oid_of(conn, rebuild.table)) if rebuild.table else "null"
    if rebuild.index:
        table = f"""(select indrelid from pg_catalog.pg_index
            where indexrelid = {operator_names.oid_of(conn, rebuild.index)})"""
    with_toast = f"""x.indrelid in (
        select t.oid from pg_catalog.pg_class t where t.oid = {table}
        union all select t.reltoastrelid from pg_catalog.pg_class t where t.oid = {table})"""
    return f"""
        select x.indexrelid::pg_catalog.regclass::text
        from pg_catalog.pg_index x
        join pg_catalog.pg_class i on i.oid = x.indexrelid
        where not x.indisvalid and i.relname ~ '_cc(new|old)[0-9]*$'
          and {with_toast if rebuild.table or rebuild.index else "true"}
          and pg_catalog.pg_has_role(i.relowner, 'usage')
          and not exists (
            select from pg_catalog.pg_locks l
            where l.locktype = 'relation' and l.granted and l.mode = 'ShareUpdateExclusiveLock'
              and l.relation = x.indrelid and l.pid <> pg_catalog.pg_backend_pid())"""
