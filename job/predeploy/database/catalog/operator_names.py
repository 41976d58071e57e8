"""What the operator's names mean: asked under the session's search_path, answered under ours."""

from predeploy.contract.quoting import literal
from predeploy.database.server.path import OUR_PATH
from predeploy.database.server.wire import Connection, Row, ask_plainly

NAMED = "nullif(current_setting('predeploy.named'), '')"
"""In a query for `ask_about`: what the expression has given, as text, or null."""


def ask_about(conn: Connection, expression: str, sql: str) -> list[Row]:
    """Return the rows of a query of ours about what an expression gives under the session's path.

    NAMED stands for its text in the query. One round trip, and no transaction may be open.
    """
    named = f"({expression})::pg_catalog.text"
    found = f"select pg_catalog.set_config('predeploy.named', {named}, true)"
    return ask_plainly(conn, f"{found};\n{OUR_PATH};\n{sql}")


def oid_of(conn: Connection, name: str) -> int:
    """Return the OID of the relation that `name`, as SQL has it, means here; 0 where none is.

    The operator's search_path has to be set.
    """
    ((oid,),) = ask_plainly(conn, f"select {oid_sql(name)}")
    return int(oid or 0)


def oid_sql(name: str) -> str:
    """Return the expression that gives the OID, or null."""
    return f"pg_catalog.to_regclass({literal(name)})::pg_catalog.oid"
