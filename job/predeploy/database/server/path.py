"""The two search_paths: ours for SQL of our own, and the operator's for SQL of the folder.

An unqualified function or operator is looked up along the search_path, and an overload that fits
better wins, whichever schema it is in. So a role that may create one in a schema of that path has
its code run by queries that do not mean it, with the rights of the role that asks (CVE-2018-1058).
Under our path only PostgreSQL's own are found. The temporary schema comes last: where it is not
named, its tables and types come first.
"""

from predeploy.settings.endpoint import Endpoint

OURS = "pg_catalog, pg_temp"


def our_path(scope: str = "local") -> str:
    """Return the statement that sets our path for the transaction. It calls nothing planted.

    `scope` may be `session`: only on a connection that is closed afterwards.
    """
    return f"set {scope} search_path to {OURS}"


def their_path(endpoint: Endpoint, scope: str = "local") -> str:
    """Return the statement that sets the operator's path, under which the app's names are found.

    That is the path of the connection string; without one, the session's default. It is never a
    startup option: poolers refuse those.
    """
    given = endpoint.search_path
    return f"set {scope} search_path to {given.text if given else 'default'}"


OUR_PATH = our_path()

_SETTING = "predeploy.search_path"
TEXT = f"pg_catalog.current_setting('{_SETTING}')"
"""An SQL expression for queries of ours, after `keep_sql`: the schemas of the operator's path."""
SCHEMAS = f"{TEXT}::pg_catalog.name[]"
"""The same as names."""
KEPT = 2
"""How many statements `keep_sql` is."""


def keep_sql(endpoint: Endpoint) -> str:
    """Return what resolves the operator's path to schemas, and keeps those for our queries.

    For the start of a transaction, before our path is set; so what they call is qualified.
    """
    return f"""{their_path(endpoint)};
        select pg_catalog.set_config('{_SETTING}',
            pg_catalog.current_schemas(false)::pg_catalog.text, true)"""
