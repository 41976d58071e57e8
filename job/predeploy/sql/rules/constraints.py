"""Constraints: what scans or indexes a table under the lock that adds them."""

from collections.abc import Iterator
from typing import Any

from postgast import pg_query_pb2 as pb

from predeploy.sql.rules.rule import (
    Hit,
    Rule,
    Subject,
    added_columns,
    added_constraints,
    altered,
    changed,
    definition_of,
    name_of,
    quoted,
    quoted_name,
)


def _in_two_steps(subject: Subject, command: Any, constraint: Any) -> str:
    """Return the constraint NOT VALID, and its validation in a transaction of its own."""
    name = constraint.conname or "name_it"
    later = changed(command)
    found = getattr(later, "def").constraint
    found.skip_validation, found.initially_valid, found.conname = True, False, name
    table = quoted_name(subject.node.relation)
    return (
        f"{altered(subject, later)}\n-- and in a later migration\n"
        f"ALTER TABLE {table} VALIDATE CONSTRAINT {quoted(name)};"
    )


def _validated(subject: Subject, *types: int) -> Iterator[Hit]:
    for command, constraint in added_constraints(subject, *types):
        if not constraint.skip_validation and constraint.is_enforced:
            yield Hit(name_of(subject.node.relation), _in_two_steps(subject, command, constraint))


def _foreign_key(subject: Subject) -> Iterator[Hit]:
    yield from _validated(subject, pb.CONSTR_FOREIGN)
    for _, column in added_columns(subject):
        for each in column.constraints:
            if each.constraint.contype == pb.CONSTR_FOREIGN:
                table, name = quoted_name(subject.node.relation), quoted(column.colname)
                other = quoted_name(each.constraint.pktable)
                key = quoted(f"{subject.node.relation.relname}_{column.colname}_fkey")
                yield Hit(
                    name_of(subject.node.relation),
                    f"-- add the column without it, and then\nALTER TABLE {table} ADD CONSTRAINT "
                    f"{key} FOREIGN KEY ({name}) REFERENCES {other} NOT VALID;\n"
                    f"-- and in a later migration\nALTER TABLE {table} VALIDATE CONSTRAINT {key};",
                )


def _check(subject: Subject) -> Iterator[Hit]:
    return _validated(subject, pb.CONSTR_CHECK)


def _unique(subject: Subject) -> Iterator[Hit]:
    for _, constraint in added_constraints(subject, pb.CONSTR_UNIQUE, pb.CONSTR_PRIMARY):
        if not constraint.indexname:
            table = quoted_name(subject.node.relation)
            keys = ", ".join(quoted(key.string.sval) for key in constraint.keys)
            is_primary = constraint.contype == pb.CONSTR_PRIMARY
            what = "PRIMARY KEY" if is_primary else "UNIQUE"
            ending = "pkey" if is_primary else "key"
            name = quoted(constraint.conname or f"{subject.node.relation.relname}_{ending}")
            yield Hit(
                name_of(subject.node.relation),
                f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {table} ({keys});\n"
                f"ALTER TABLE {table} ADD CONSTRAINT {name} {what} USING INDEX {name};",
            )


def _exclusion(subject: Subject) -> Iterator[Hit]:
    for _ in added_constraints(subject, pb.CONSTR_EXCLUSION):
        yield Hit(name_of(subject.node.relation))


def _validated_at_once(subject: Subject) -> Iterator[Hit]:
    for command in subject.altering(pb.AT_ValidateConstraint):
        if (subject.node.relation.relname, command.name) in subject.past.unproved:
            yield Hit(
                name_of(subject.node.relation),
                f"-- in a later migration\n{altered(subject, command)}",
            )


def _not_null(subject: Subject) -> Iterator[Hit]:
    table = subject.node.relation.relname if subject.kind == "alter_table_stmt" else ""
    for command in subject.altering(pb.AT_SetNotNull):
        if (table, command.name) not in subject.past.filled:
            yield Hit(name_of(subject.node.relation), _by_check(subject, command.name))


def not_null_checks(subject: Subject) -> Iterator[tuple[str, str, str]]:
    """Yield the CHECK (c IS NOT NULL) that it adds: table, name of the constraint, column."""
    if subject.kind != "alter_table_stmt":
        return
    for node in subject.node.cmds:
        constraint = definition_of(node.alter_table_cmd)
        if getattr(constraint, "contype", None) == pb.CONSTR_CHECK:
            test = constraint.raw_expr.null_test
            if test.nulltesttype == pb.IS_NOT_NULL and test.arg.HasField("column_ref"):
                column = test.arg.column_ref.fields[-1].string.sval
                yield subject.node.relation.relname, constraint.conname, column


def unproved(subject: Subject) -> Iterator[tuple[str, str]]:
    """Yield the constraints that it adds NOT VALID: table and name."""
    for _, constraint in added_constraints(subject, pb.CONSTR_FOREIGN, pb.CONSTR_CHECK):
        if constraint.skip_validation:
            yield subject.node.relation.relname, constraint.conname


def validated(subject: Subject) -> Iterator[tuple[str, str]]:
    """Yield the constraints that it validates, or adds validated: table and name."""
    if subject.kind != "alter_table_stmt":
        return
    for node in subject.node.cmds:
        command, table = node.alter_table_cmd, subject.node.relation.relname
        if command.subtype == pb.AT_ValidateConstraint:
            yield table, command.name
        elif command.subtype == pb.AT_AddConstraint:
            constraint = definition_of(command)
            if constraint.contype == pb.CONSTR_CHECK and not constraint.skip_validation:
                yield table, constraint.conname


def _by_check(subject: Subject, column: str) -> str:
    table, name = quoted_name(subject.node.relation), quoted(column)
    check = quoted(f"{subject.node.relation.relname}_{column}_not_null")
    return (
        f"ALTER TABLE {table} ADD CONSTRAINT {check} CHECK ({name} IS NOT NULL) NOT VALID;\n"
        f"-- and in a later migration\nALTER TABLE {table} VALIDATE CONSTRAINT {check};\n"
        f"ALTER TABLE {table} ALTER COLUMN {name} SET NOT NULL, DROP CONSTRAINT {check};"
    )


def _unenforced(subject: Subject) -> Iterator[Hit]:
    for _, constraint in added_constraints(subject, pb.CONSTR_CHECK, pb.CONSTR_FOREIGN):
        if not constraint.is_enforced:
            yield Hit(name_of(subject.node.relation))


RULES = (
    Rule(
        "foreign-key-validated",
        "writes to both tables stand still while every row is looked up",
        "ALTER TABLE orders ADD CONSTRAINT orders_user FOREIGN KEY (user_id) REFERENCES users (id)"
        ";",
        "ALTER TABLE orders ADD CONSTRAINT orders_user FOREIGN KEY (user_id) REFERENCES users (id) "
        "NOT VALID;",
        _foreign_key,
        lock="SHARE ROW EXCLUSIVE",
        waits="writes to both tables",
        aliases=(
            "adding-foreign-key-constraint",
            "constraint-missing-not-valid",
            "add_foreign_key",
        ),
    ),
    Rule(
        "check-validated",
        "nobody reads or writes the table while every row is checked",
        "ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0);",
        "ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0) NOT VALID;",
        _check,
        lock="ACCESS EXCLUSIVE",
        waits="reads and writes",
        aliases=("constraint-missing-not-valid", "add_check_constraint"),
    ),
    Rule(
        "unique-builds-index",
        "nobody reads or writes the table while the index is built",
        "ALTER TABLE users ADD CONSTRAINT users_email_key UNIQUE (email);",
        "ALTER TABLE users ADD CONSTRAINT users_email_key UNIQUE USING INDEX users_email_key;",
        _unique,
        lock="ACCESS EXCLUSIVE",
        waits="reads and writes",
        aliases=(
            "disallowed-unique-constraint",
            "adding-serial-primary-key-field",
            "constraint-missing-not-valid",
        ),
    ),
    Rule(
        "exclusion-builds-index",
        "nobody reads or writes the table while the index is built, and there is no other way: add "
        "it while the table is small, or in a maintenance window",
        "ALTER TABLE bookings ADD EXCLUDE USING gist (room WITH =, during WITH &&);",
        "CREATE TABLE bookings (room int, during tsrange, EXCLUDE USING gist (during WITH &&));",
        _exclusion,
        lock="ACCESS EXCLUSIVE",
        waits="reads and writes",
        aliases=("add_exclusion_constraint", "constraint-missing-not-valid"),
    ),
    Rule(
        "validated-at-once",
        "the rows are checked under the lock that added the constraint, as both are in one "
        "transaction",
        "ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0) NOT VALID;\n"
        "ALTER TABLE orders VALIDATE CONSTRAINT positive;",
        "ALTER TABLE orders VALIDATE CONSTRAINT positive;",
        _validated_at_once,
        lock="ACCESS EXCLUSIVE",
        waits="reads and writes",
    ),
    Rule(
        "set-not-null-scans",
        "nobody reads or writes the table while every row is looked at",
        "ALTER TABLE users ALTER COLUMN email SET NOT NULL;",
        "ALTER TABLE users ADD CONSTRAINT e CHECK (email IS NOT NULL) NOT VALID;\n"
        "ALTER TABLE users VALIDATE CONSTRAINT e;\n"
        "ALTER TABLE users ALTER COLUMN email SET NOT NULL;",
        _not_null,
        lock="ACCESS EXCLUSIVE",
        waits="reads and writes",
        aliases=("adding-not-nullable-field", "change_column_null"),
    ),
    Rule(
        "constraint-not-enforced",
        "PostgreSQL does not check it, and nobody else may: rows that break it come in",
        "ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0) NOT ENFORCED;",
        "ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0) NOT VALID;",
        _unenforced,
    ),
)
