"""Resolves names as the operator's SQL does, for queries that run with predeploy's search_path."""

from predeploy.contract.quoting import literal
from predeploy.database.server.path import OWN_PATH
from predeploy.database.server.rows import Row
from predeploy.database.server.wire import Connection, ask_plainly

NAMED = "nullif(current_setting('predeploy.named'), '')"
"""In a query for `ask_about`: the value of the expression as text, or NULL."""


def ask_about(conn: Connection, expression: str, sql: str) -> list[Row]:
    """Return the rows of a query about an expression evaluated with the session's search_path.

    NAMED stands for the expression's text in the query. Takes one round trip; no transaction may be
    open.
    """
    named = f"({expression})::pg_catalog.text"
    found = f"select pg_catalog.set_config('predeploy.named', {named}, true)"
    return ask_plainly(conn, f"{found};\n{OWN_PATH};\n{sql}")


def oid_of(conn: Connection, name: str) -> int:
    """Return the OID of the relation that `name`, as written in SQL, refers to; 0 if none.

    The operator's search_path must be set.
    """
    ((oid,),) = ask_plainly(conn, f"select {oid_sql(name)}")
    return int(oid or 0)


def oid_sql(name: str) -> str:
    """Return an expression for the OID, or NULL."""
    return f"pg_catalog.to_regclass({literal(name)})::pg_catalog.oid"
