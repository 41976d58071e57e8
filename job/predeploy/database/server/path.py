"""The two search_paths: predeploy's own for its SQL, and the operator's for the folder's SQL.

An unqualified function or operator is looked up along the search_path, and the overload that fits
best wins, in whichever schema. So a role that may create one in a schema of that path can have its
code run by unsuspecting queries, with the rights of the querying role (CVE-2018-1058). With
predeploy's own path only built-in objects are found. The temporary schema comes last: if it is not
named, its tables and types are found first.
"""

from predeploy.settings.endpoint import Endpoint

OURS = "pg_catalog, pg_temp"


def own_path_sql(scope: str = "local") -> str:
    """Return the statement that sets predeploy's path for the transaction; it calls no function.

    `scope` may be `session`, but only on a connection that is closed afterwards.
    """
    return f"set {scope} search_path to {OURS}"


def operator_path_sql(endpoint: Endpoint, scope: str = "local") -> str:
    """Return the statement that sets the operator's path, by which the app's names are resolved.

    That is the path of the connection string or, without one, the session's default. It is never
    set as a startup option: poolers refuse those.
    """
    given = endpoint.search_path
    return f"set {scope} search_path to {given.text if given else 'default'}"


OWN_PATH = own_path_sql()

_SETTING = "predeploy.search_path"
TEXT = f"pg_catalog.current_setting('{_SETTING}')"
"""An SQL expression for queries after `keep_sql`: the schemas of the operator's path, as text."""
SCHEMAS = f"{TEXT}::pg_catalog.name[]"
"""The same, as an array of names."""
KEEP = f"""select pg_catalog.set_config('{_SETTING}',
    pg_catalog.current_schemas(false)::pg_catalog.text, true)"""
"""The query that stores the schemas of the current path for later queries of the transaction."""


def keep_sql(endpoint: Endpoint) -> str:
    """Return statements that resolve the operator's path and store its schemas for later queries.

    They belong at the start of a transaction, before predeploy's path is set, so the functions that
    they call are qualified.
    """
    return f"{operator_path_sql(endpoint)};\n{KEEP}"
