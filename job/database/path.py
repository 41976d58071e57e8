"""Whose search_path counts: ours for what we have written, theirs for the operator's text.

An unqualified function or operator is looked up along the search_path, and an overload that fits
better wins wherever it stands. So whoever may create one in a schema of that path is called by
queries that do not mean it, with the rights of the role that asks (CVE-2018-1058). Under our path
only PostgreSQL's own are found. The temporary schema comes last: where it is not named, its tables
and types come first.
"""

from job.endpoint import Endpoint

OURS = "pg_catalog, pg_temp"


def our_path(scope: str = "local") -> str:
    """Return what begins text of ours, to the end of the transaction. It looks nothing up itself.

    `scope` may be `session`: only on a connection that is closed afterwards.
    """
    return f"set {scope} search_path to {OURS}"


def their_path(endpoint: Endpoint, scope: str = "local") -> str:
    """Return what begins the operator's text, which then means what it means to the app.

    That is the path of the connection string; without one, the session's own. It is never given
    when a session starts: poolers refuse that.
    """
    given = endpoint.search_path
    return f"set {scope} search_path to {given.text if given else 'default'}"


OUR_PATH = our_path()

_SETTING = "predeploy.search_path"
TEXT = f"pg_catalog.current_setting('{_SETTING}')"
"""An SQL expression for queries of ours, behind `keep_sql`: the schemas of the operator's path."""
SCHEMAS = f"{TEXT}::pg_catalog.name[]"
"""The same as names."""
KEPT = 2
"""How many statements `keep_sql` is."""


def keep_sql(endpoint: Endpoint) -> str:
    """Return what looks where the operator's names lead to, and keeps that for queries of ours.

    In a transaction, before its search_path is ours: what it calls is qualified.
    """
    return f"""{their_path(endpoint)};
        select pg_catalog.set_config('{_SETTING}',
            pg_catalog.current_schemas(false)::pg_catalog.text, true)"""
