"""The object of a statement outside a transaction, so that its traces can be judged.

A job that was killed leaves no record of how such a statement ended; the catalog shows it. Names
are quoted as needed in SQL, and unqualified if the statement leaves the schema to the search_path.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import postgast
from postgast import pg_query_pb2 as pb

from predeploy.contract.quoting import identifier
from predeploy.sql.parser.names import relation_sql
from predeploy.sql.parser.parsing import parse
from predeploy.sql.statement.classify import detaches_concurrently


@dataclass(frozen=True, slots=True)
class IndexBuild:
    """CREATE INDEX CONCURRENTLY. `probe` builds the same index plainly, on `PROBE_TABLE`.

    `name` is as in the catalog, not quoted; empty if the server chooses one.
    """

    table: str
    name: str
    probe: str


@dataclass(frozen=True, slots=True)
class IndexDrop:
    """DROP INDEX CONCURRENTLY: done if none of the indexes exists any more."""

    indexes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Detach:
    """DETACH PARTITION … CONCURRENTLY: done if `parent` is no longer the parent of `child`."""

    parent: str
    child: str


@dataclass(frozen=True, slots=True)
class Rebuild:
    """REINDEX of an index or a table; both are empty for a schema or database. It is run again."""

    table: str = ""
    index: str = ""


@dataclass(frozen=True, slots=True)
class Repeatable:
    """A statement that can simply be run again: VACUUM, CLUSTER, ALTER SYSTEM, REFRESH, a move."""


class Shared(Enum):
    """Objects outside any schema that appear or disappear with one commit."""

    DATABASE = "database"
    TABLESPACE = "tablespace"
    SUBSCRIPTION = "subscription"


@dataclass(frozen=True, slots=True)
class Making:
    """CREATE DATABASE and the like: done if `name` exists and belongs to `owner`.

    The name is as in the catalog. An empty `owner` stands for the connected role.
    """

    kind: Shared
    name: str
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Removal:
    """DROP DATABASE and the like: done if no object of that name exists."""

    kind: Shared
    name: str


@dataclass(frozen=True, slots=True)
class Publications:
    """ALTER SUBSCRIPTION … ADD or DROP PUBLICATION: done if it has all of them, or none."""

    subscription: str
    publications: tuple[str, ...]
    are_added: bool


AutocommitTarget = (
    IndexBuild | IndexDrop | Detach | Rebuild | Repeatable | Making | Removal | Publications
)
PROBE_TABLE = "pg_temp.predeploy_probe"
PROBE_INDEX = "predeploy_probe_index"


def autocommit_target(text: str) -> AutocommitTarget | None:
    """Return what a statement outside a transaction acts on; None if its traces prove nothing."""
    try:
        parsed = parse(text)
    except postgast.PgQueryError:
        return None
    raw = parsed.stmts[0].stmt
    node = raw.WhichOneof("node")
    return _about(parsed, node, getattr(raw, node))


def _about(parsed: Any, node: str, stmt: Any) -> AutocommitTarget | None:
    match node:
        case "index_stmt":
            return _index_build(parsed, stmt)
        case "drop_stmt" if stmt.remove_type == pb.OBJECT_INDEX:
            names = ([item.string.sval for item in o.list.items] for o in stmt.objects)
            return IndexDrop(tuple(identifier(*name) for name in names))
        case "alter_table_stmt" if detaches_concurrently(stmt):
            child = getattr(stmt.cmds[0].alter_table_cmd, "def").partition_cmd.name
            return Detach(relation_sql(stmt.relation), relation_sql(child))
        case "reindex_stmt":
            return _rebuild(stmt)
        case "vacuum_stmt" | "cluster_stmt" | "alter_system_stmt" | "discard_stmt":
            return Repeatable()
    return _about_shared(node, stmt)


def _about_shared(node: str, stmt: Any) -> AutocommitTarget | None:
    about: AutocommitTarget | None = None
    match node:
        case "createdb_stmt":
            given = [o.def_elem for o in stmt.options if o.def_elem.defname == "owner"]
            owner = given[0].arg.string.sval if given else ""
            about = Making(Shared.DATABASE, stmt.dbname, owner)
        case "create_table_space_stmt":
            about = Making(Shared.TABLESPACE, stmt.tablespacename, stmt.owner.rolename)
        case "create_subscription_stmt":
            about = Making(Shared.SUBSCRIPTION, stmt.subname)
        case "dropdb_stmt":
            about = Removal(Shared.DATABASE, stmt.dbname)
        case "drop_table_space_stmt":
            about = Removal(Shared.TABLESPACE, stmt.tablespacename)
        case "drop_subscription_stmt":
            about = Removal(Shared.SUBSCRIPTION, stmt.subname)
        case "alter_database_stmt":  # the only form outside a transaction is SET TABLESPACE
            about = Repeatable()
        case "alter_subscription_stmt":
            about = _publications(stmt)
    return about


def _publications(stmt: Any) -> AutocommitTarget:
    named = tuple(node.string.sval for node in stmt.publication)
    is_added = stmt.kind == pb.ALTER_SUBSCRIPTION_ADD_PUBLICATION
    if is_added or stmt.kind == pb.ALTER_SUBSCRIPTION_DROP_PUBLICATION:
        return Publications(stmt.subname, named, are_added=is_added)
    return Repeatable()


def _rebuild(stmt: Any) -> Rebuild:
    named = relation_sql(stmt.relation) if stmt.HasField("relation") else ""
    is_index = stmt.kind == pb.REINDEX_OBJECT_INDEX
    return Rebuild(index=named) if is_index else Rebuild(table=named)


def _index_build(parsed: Any, stmt: Any) -> IndexBuild:
    table, name = relation_sql(stmt.relation), stmt.idxname
    stmt.concurrent = stmt.if_not_exists = False
    stmt.idxname = PROBE_INDEX
    stmt.relation.schemaname, stmt.relation.relname = PROBE_TABLE.split(".")
    return IndexBuild(table, name, postgast.deparse(parsed))
