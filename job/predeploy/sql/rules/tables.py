"""Whole tables: what writes one anew, and what is locked with it."""

from collections.abc import Iterator

from postgast import pg_query_pb2 as pb

from predeploy.sql.rules.rule import (
    Hit,
    Rule,
    Subject,
    altered,
    changed,
    definition_of,
    name_of,
    quoted,
    quoted_name,
)

_ANEW = (pb.AT_SetLogged, pb.AT_SetUnLogged, pb.AT_SetTableSpace, pb.AT_SetAccessMethod)
_TRIGGERS = (
    pb.AT_EnableTrig, pb.AT_EnableAlwaysTrig, pb.AT_EnableReplicaTrig, pb.AT_DisableTrig,
    pb.AT_EnableTrigAll, pb.AT_DisableTrigAll, pb.AT_EnableTrigUser, pb.AT_DisableTrigUser,
)  # fmt: skip


def _rewritten(subject: Subject) -> Iterator[Hit]:
    for _ in subject.altering(*_ANEW):
        yield Hit(name_of(subject.node.relation))
    if subject.kind == "cluster_stmt":
        yield Hit(name_of(subject.node.relation))
    if subject.kind == "vacuum_stmt":
        options = {each.def_elem.defname for each in subject.node.options}
        if "full" in options:
            names = [name_of(each.vacuum_relation.relation) for each in subject.node.rels]
            plain = ", ".join(quoted_name(r.vacuum_relation.relation) for r in subject.node.rels)
            yield Hit(", ".join(names) or "all tables", f"VACUUM {plain};".replace(" ;", ";"))


def _attached(subject: Subject) -> Iterator[Hit]:
    for command in subject.altering(pb.AT_AttachPartition):
        part = definition_of(command)
        if subject.is_old(part.name.relname):
            table = quoted_name(part.name)
            yield Hit(
                name_of(part.name),
                f"-- before it, with the partition's bounds\nALTER TABLE {table} ADD CONSTRAINT "
                f"{quoted(part.name.relname + '_bounds')} CHECK (…) NOT VALID;\n"
                f"ALTER TABLE {table} VALIDATE CONSTRAINT {quoted(part.name.relname + '_bounds')};",
            )


def _detached(subject: Subject) -> Iterator[Hit]:
    for command in subject.altering(pb.AT_DetachPartition):
        part = definition_of(command)
        if not part.concurrent:
            later = changed(command)
            getattr(later, "def").partition_cmd.concurrent = True
            yield Hit(name_of(subject.node.relation), altered(subject, later))


def _triggered(subject: Subject) -> Iterator[Hit]:
    for _ in subject.altering(*_TRIGGERS):
        yield Hit(name_of(subject.node.relation))
    is_new = subject.kind in ("create_trig_stmt", "rule_stmt")
    if is_new and subject.is_old(subject.node.relation.relname):
        yield Hit(name_of(subject.node.relation))


def _locked(subject: Subject) -> Iterator[Hit]:
    if subject.kind == "lock_stmt":
        for each in subject.node.relations:
            if subject.is_old(each.range_var.relname):
                yield Hit(name_of(each.range_var))


RULES = (
    Rule(
        "table-written-anew",
        "nobody reads or writes the table while all of it is copied",
        "ALTER TABLE logs SET LOGGED;",
        "VACUUM logs;",
        _rewritten,
        lock="ACCESS EXCLUSIVE",
        waits="reads and writes",
        aliases=("prefer-repack",),
    ),
    Rule(
        "attached-partition-scanned",
        "the new partition is scanned under its lock, and the default partition, too, unless a "
        "CHECK proves the bounds",
        "ALTER TABLE logs ATTACH PARTITION logs_may FOR VALUES FROM ('2026-05-01') TO "
        "('2026-06-01');",
        "CREATE TABLE logs_may (at date);\nALTER TABLE logs ATTACH PARTITION logs_may FOR VALUES "
        "FROM ('2026-05-01') TO ('2026-06-01');",
        _attached,
        lock="ACCESS EXCLUSIVE on the partition",
        waits="reads and writes of the partition",
    ),
    Rule(
        "detach-without-concurrently",
        "it waits for every transaction on the table, and meanwhile all others wait for it",
        "ALTER TABLE logs DETACH PARTITION logs_may;",
        "ALTER TABLE logs DETACH PARTITION logs_may CONCURRENTLY;",
        _detached,
        lock="ACCESS EXCLUSIVE",
        waits="reads and writes",
        aliases=("require-concurrent-partition-detach",),
    ),
    Rule(
        "trigger-locks",
        "it is quick, but waits for every transaction that writes, and meanwhile other writes wait "
        "for it; a trigger also runs for the app that is still there",
        "CREATE TRIGGER audit AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION audit();",
        "CREATE TABLE orders (id int);\nCREATE TRIGGER audit AFTER INSERT ON orders FOR EACH ROW "
        "EXECUTE FUNCTION audit();",
        _triggered,
        lock="SHARE ROW EXCLUSIVE",
        waits="writes",
        aliases=("ban-disable-trigger",),
    ),
    Rule(
        "lock-table",
        "others wait until the transaction ends",
        "LOCK TABLE orders;",
        "CREATE TABLE orders (id int);\nLOCK TABLE orders;",
        _locked,
        lock="as it says",
        waits="reads and writes",
    ),
)
