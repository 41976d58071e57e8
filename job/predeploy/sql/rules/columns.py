"""Columns: what rewrites or scans a table when a column comes or changes."""

from collections.abc import Iterator
from typing import Any

from postgast import pg_query_pb2 as pb

from predeploy.sql.parser.names import SERIALS
from predeploy.sql.parser.tree import below
from predeploy.sql.rules.rule import (
    Hit,
    Rule,
    Severity,
    Subject,
    added_columns,
    name_of,
    quoted,
    quoted_name,
)
from predeploy.sql.statement.stall import is_steady


def _kinds(column: Any) -> set[int]:
    return {each.constraint.contype for each in column.constraints}


def _is_serial(column: Any) -> bool:
    return [part.string.sval for part in column.type_name.names][-1:] in [[s] for s in SERIALS]


def _default(column: Any) -> Any:
    for each in column.constraints:
        if each.constraint.contype == pb.CONSTR_DEFAULT:
            return each.constraint.raw_expr
    return None


def _lacks_value(subject: Subject) -> Iterator[Hit]:
    for _, column in added_columns(subject):
        kinds = _kinds(column)
        filled = {pb.CONSTR_DEFAULT, pb.CONSTR_IDENTITY, pb.CONSTR_GENERATED} & kinds
        is_needed = kinds & {pb.CONSTR_NOTNULL, pb.CONSTR_PRIMARY}
        if is_needed and not filled and not _is_serial(column):
            table, name = quoted_name(subject.node.relation), quoted(column.colname)
            yield Hit(
                f"{name_of(subject.node.relation)}.{column.colname}",
                f"-- add {name} without NOT NULL, fill it in batches, and in a later migration\n"
                f"ALTER TABLE {table} ALTER COLUMN {name} SET NOT NULL;",
            )


def _differs_by_row(subject: Subject) -> Iterator[Hit]:
    for _, column in added_columns(subject):
        default = _default(column)
        calls = (n for n in below(default) if isinstance(n, pb.FuncCall)) if default else ()
        if any(not is_steady(call) for call in calls):
            table, name = quoted_name(subject.node.relation), quoted(column.colname)
            yield Hit(
                f"{name_of(subject.node.relation)}.{column.colname}",
                f"-- add {name} without the default, and then\n"
                f"ALTER TABLE {table} ALTER COLUMN {name} SET DEFAULT …;\n"
                "-- and fill the rows that are there in batches",
            )


def _filled(subject: Subject) -> Iterator[Hit]:
    for _, column in added_columns(subject):
        is_stored = any(
            each.constraint.contype == pb.CONSTR_GENERATED
            and each.constraint.generated_kind in ("s", "")
            for each in column.constraints
        )
        if is_stored or _is_serial(column) or pb.CONSTR_IDENTITY in _kinds(column):
            yield Hit(
                f"{name_of(subject.node.relation)}.{column.colname}",
                "-- add a plain column, fill it in batches (a trigger for new rows), and then give "
                "it its default or identity",
            )


def _retyped(subject: Subject) -> Iterator[Hit]:
    for command in subject.altering(pb.AT_AlterColumnType):
        column = getattr(command, "def").column_def
        wanted = [part.string.sval for part in column.type_name.names][-1:]
        is_free = wanted == ["text"] and not column.raw_default.ListFields()
        if not is_free:
            yield Hit(
                f"{name_of(subject.node.relation)}.{command.name}",
                "-- add a column of the new type, fill it in batches, and let the app change over",
            )


RULES = (
    Rule(
        "column-without-value",
        "it fails if the table holds a row",
        "ALTER TABLE users ADD COLUMN phone text NOT NULL;",
        "ALTER TABLE users ADD COLUMN phone text NOT NULL DEFAULT '';",
        _lacks_value,
        severity=Severity.ERROR,
        aliases=("adding-required-field", "add_column_null"),
    ),
    Rule(
        "volatile-default",
        "the table is written anew, as the default may differ from row to row",
        "ALTER TABLE users ADD COLUMN key uuid DEFAULT gen_random_uuid();",
        "ALTER TABLE users ADD COLUMN seen timestamptz DEFAULT now();",
        _differs_by_row,
        lock="ACCESS EXCLUSIVE",
        waits="reads and writes",
        aliases=("adding-field-with-default", "add_column_default_callable"),
    ),
    Rule(
        "column-filled-at-once",
        "the table is written anew, as every row gets a value of its own",
        "ALTER TABLE orders ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY;",
        "ALTER TABLE orders ADD COLUMN id bigint;",
        _filled,
        lock="ACCESS EXCLUSIVE",
        waits="reads and writes",
        aliases=(
            "adding-field-with-default",
            "add_column_generated_stored",
            "add_column_auto_incrementing",
        ),
    ),
    Rule(
        "column-type-changed",
        "unless the old type makes it free (a shorter varchar), the table and its indexes are "
        "written anew; and the app that still runs reads the old type",
        "ALTER TABLE orders ALTER COLUMN id TYPE bigint;",
        "ALTER TABLE orders ALTER COLUMN note TYPE text;",
        _retyped,
        lock="ACCESS EXCLUSIVE",
        waits="reads and writes",
        aliases=("changing-column-type", "change_column"),
    ),
)
