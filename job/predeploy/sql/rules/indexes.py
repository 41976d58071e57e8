"""Indexes and materialized views: what is built or dropped under a lock."""

from collections.abc import Iterator

from postgast import pg_query_pb2 as pb

from predeploy.sql.rules.rule import (
    Hit,
    Rule,
    Subject,
    changed,
    name_of,
    quoted,
    quoted_name,
    written,
)

_REINDEXED = {
    pb.REINDEX_OBJECT_INDEX: "INDEX",
    pb.REINDEX_OBJECT_TABLE: "TABLE",
    pb.REINDEX_OBJECT_SCHEMA: "SCHEMA",
    pb.REINDEX_OBJECT_SYSTEM: "SYSTEM",
    pb.REINDEX_OBJECT_DATABASE: "DATABASE",
}


def _created(subject: Subject) -> Iterator[Hit]:
    if subject.kind != "index_stmt" or subject.node.concurrent:
        return
    if subject.is_old(subject.node.relation.relname):
        method = subject.node.access_method.replace("btree", "")  # which need not be said
        node = changed(subject.node, concurrent=True, access_method=method)
        yield Hit(name_of(subject.node.relation), written(subject.kind, node))


def _dropped(subject: Subject) -> Iterator[Hit]:
    if subject.kind != "drop_stmt" or subject.node.remove_type != pb.OBJECT_INDEX:
        return
    if not subject.node.concurrent:
        for each in subject.node.objects:
            names = [part.string.sval for part in each.list.items]
            safe = f"DROP INDEX CONCURRENTLY {'.'.join(map(quoted, names))};"
            yield Hit(".".join(names), safe)


def _rebuilt(subject: Subject) -> Iterator[Hit]:
    if subject.kind != "reindex_stmt":
        return
    options = {each.def_elem.defname for each in subject.node.params}
    if "concurrently" not in options:
        about = name_of(subject.node.relation) or subject.node.name
        kind, name = _REINDEXED.get(subject.node.kind, ""), quoted_name(subject.node.relation)
        what = f"{kind} CONCURRENTLY {name or quoted(subject.node.name)};"
        yield Hit(about, f"REINDEX {what}")


def _refreshed(subject: Subject) -> Iterator[Hit]:
    if subject.kind != "refresh_mat_view_stmt" or subject.node.concurrent:
        return
    if subject.is_old(subject.node.relation.relname) and not subject.node.skip_data:
        safe = written(subject.kind, changed(subject.node, concurrent=True))
        yield Hit(name_of(subject.node.relation), f"{safe} -- needs a unique index")


RULES = (
    Rule(
        "index-without-concurrently",
        "writes stand still for as long as the index is built",
        "CREATE INDEX orders_user_id ON orders (user_id);",
        "CREATE INDEX CONCURRENTLY orders_user_id ON orders (user_id);",
        _created,
        lock="SHARE",
        waits="writes",
        aliases=("require-concurrent-index-creation", "add_index"),
    ),
    Rule(
        "drop-index-without-concurrently",
        "it waits for every transaction on the table, and meanwhile all others wait for it",
        "DROP INDEX orders_user_id;",
        "DROP INDEX CONCURRENTLY orders_user_id;",
        _dropped,
        lock="ACCESS EXCLUSIVE",
        waits="reads and writes",
        aliases=("require-concurrent-index-deletion", "remove_index"),
    ),
    Rule(
        "reindex-without-concurrently",
        "writes stand still for as long as the indexes are built, and so do reads that would use "
        "them",
        "REINDEX TABLE orders;",
        "REINDEX TABLE CONCURRENTLY orders;",
        _rebuilt,
        lock="SHARE",
        waits="writes, and reads by index",
        aliases=("require-concurrent-reindex",),
    ),
    Rule(
        "refresh-without-concurrently",
        "nobody reads the view for as long as its query runs",
        "REFRESH MATERIALIZED VIEW totals;",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY totals;",
        _refreshed,
        lock="ACCESS EXCLUSIVE",
        waits="reads",
    ),
)
