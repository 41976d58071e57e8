"""Rows: what writes many of them at once."""

from collections.abc import Iterator
from typing import Any

from postgast import pg_query_pb2 as pb

from predeploy.sql.parser.tree import below
from predeploy.sql.rules.rule import Hit, Rule, Subject, added_constraints, name_of

_CLOCKS = frozenset(("now", "clock_timestamp", "statement_timestamp", "transaction_timestamp",
                     "timeofday", "random", "age"))  # fmt: skip


def _backfilled(subject: Subject) -> Iterator[Hit]:
    if subject.kind in ("update_stmt", "delete_stmt"):
        target, clause = subject.node.relation, subject.node.where_clause
        if subject.is_old(target.relname) and not _is_one_row(clause):
            yield Hit(name_of(target), "-- in batches, each with its own COMMIT")
    elif subject.kind == "insert_stmt":
        # Not what a WHERE asks: a seed that is written once asks whether it is there.
        clauses = subject.node.select_stmt.select_stmt.from_clause
        sources = [n for n in below(*clauses) if isinstance(n, pb.RangeVar)]
        if any(subject.is_old(source.relname) for source in sources):
            yield Hit(name_of(subject.node.relation), "-- in batches, each with its own COMMIT")


def _is_one_row(clause: Any) -> bool:
    """Whether a WHERE compares a column with a constant: few rows, as far as the text shows."""
    if clause.WhichOneof("node") != "a_expr":
        return False
    sides = (clause.a_expr.lexpr.WhichOneof("node"), clause.a_expr.rexpr.WhichOneof("node"))
    is_equal = [part.string.sval for part in clause.a_expr.name] == ["="]
    return is_equal and "column_ref" in sides and "a_const" in sides


def _changes_its_mind(subject: Subject) -> Iterator[Hit]:
    for _, constraint in added_constraints(subject, pb.CONSTR_CHECK):
        for node in below(constraint.raw_expr):
            is_clock = isinstance(node, pb.SQLValueFunction) or (
                isinstance(node, pb.FuncCall) and node.funcname[-1].string.sval in _CLOCKS
            )
            if is_clock:
                yield Hit(f"{name_of(subject.node.relation)}.{constraint.conname}")
                break


RULES = (
    Rule(
        "many-rows-at-once",
        "the rows stay locked until the transaction ends, and their old versions stay in the table",
        "UPDATE orders SET total = 0 WHERE total IS NULL;",
        "UPDATE settings SET value = 'b' WHERE name = 'a';",
        _backfilled,
        lock="ROW EXCLUSIVE, and each row",
        waits="writes to the same rows",
        aliases=("backfill",),
    ),
    Rule(
        "check-changes-its-mind",
        "a row that passed may fail later, when nobody looks: a restored dump is refused",
        "ALTER TABLE orders ADD CONSTRAINT fresh CHECK (made_at < now()) NOT VALID;",
        "ALTER TABLE orders ADD CONSTRAINT fresh CHECK (made_at < shipped_at) NOT VALID;",
        _changes_its_mind,
    ),
)
