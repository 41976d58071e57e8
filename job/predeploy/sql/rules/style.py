"""The two questions of style that hurt later."""

from collections.abc import Iterator
from typing import Any

from postgast import pg_query_pb2 as pb

from predeploy.sql.rules.rule import (
    Hit,
    Rule,
    Severity,
    Subject,
    added_constraints,
    name_of,
    quoted,
    quoted_name,
)


def _unindexed(subject: Subject) -> Iterator[Hit]:
    for _, constraint in added_constraints(subject, pb.CONSTR_FOREIGN):
        columns = tuple(key.string.sval for key in constraint.fk_attrs)
        table = subject.node.relation.relname
        leads = {keys[: len(columns)] for of, keys in subject.past.indexed if of == table}
        if columns and columns not in leads:
            keys = ", ".join(map(quoted, columns))
            yield Hit(
                f"{name_of(subject.node.relation)}.{columns[0]}",
                f"CREATE INDEX CONCURRENTLY ON {quoted_name(subject.node.relation)} ({keys});",
            )


def indexed(subject: Subject) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the index that it makes: its table, and the columns, empty for an expression."""
    if subject.kind == "index_stmt":
        keys = tuple(each.index_elem.name for each in subject.node.index_params)
        yield subject.node.relation.relname, keys


def _borrowed(subject: Subject) -> Iterator[Hit]:
    if subject.kind != "create_function_stmt":
        return
    options: dict[str, list[Any]] = {}
    for each in subject.node.options:
        options.setdefault(each.def_elem.defname, []).append(each.def_elem.arg)
    definer = any(arg.boolean.boolval for arg in options.get("security", ()))
    paths = [a for a in options.get("set", ()) if a.variable_set_stmt.name == "search_path"]
    if definer and not paths:
        name = ".".join(quoted(part.string.sval) for part in subject.node.funcname)
        yield Hit(name, f"ALTER FUNCTION {name} SET search_path = pg_catalog, pg_temp;")


RULES = (
    Rule(
        "foreign-key-without-index",
        "each DELETE of a row that is referred to scans the whole table",
        "ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID"
        ";",
        "CREATE INDEX orders_user_id ON orders (user_id);\nALTER TABLE orders ADD CONSTRAINT f "
        "FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID;",
        _unindexed,
        severity=Severity.NOTE,
    ),
    Rule(
        "definer-without-search-path",
        "whoever may create a function in a schema of the caller's search_path can have it run "
        "with the owner's rights",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = app "
        "AS 'SELECT 1';",
        _borrowed,
    ),
)
