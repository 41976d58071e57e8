"""The command's sessions on the server.

A session is the command's only if it has the application name that was put into its address, is of
our role, and began after the command did. What is not proved is never cancelled.
"""

import time

from predeploy.contract.errors import JobError
from predeploy.contract.quoting import literal
from predeploy.database.server import wire
from predeploy.database.server.connection import connect_beside
from predeploy.database.server.rows import typed
from predeploy.database.server.wire import Connection
from predeploy.settings.endpoint import Endpoint

_PATIENCE_S = 1.0
_POLL_S = 0.05
_SHOWN = 3
_OURS = """a.datname = current_database() and a.backend_type = 'client backend'
    and a.usesysid = (select r.oid from pg_catalog.pg_roles r where r.rolname = session_user)"""


def now(conn: Connection) -> str:
    """Return the server's time, before the command is started."""
    ((text,),) = typed(tuple[str], wire.ask(conn, "select clock_timestamp()::text"))
    return text


def pids_sql(application: str, since: str) -> str:
    """Return the query of the pids of the command's sessions."""
    return f"""select a.pid from pg_catalog.pg_stat_activity a
        where a.application_name = {literal(application)} and {_since(since)}"""


def cancel(endpoint: Endpoint, application: str, since: str) -> str:
    """Cancel what the command's sessions run, and wait for their end; say what is left.

    The process is gone by then, but the server notices that only when it next reads or writes.
    Returns the end of a sentence; empty if nothing is left. Raises nothing.
    """
    end = time.monotonic() + _PATIENCE_S
    try:
        with wire.closing(connect_beside(endpoint)) as conn:
            pids = pids_sql(application, since)
            while wire.ask(conn, f"select pg_catalog.pg_cancel_backend(s.pid) from ({pids}) s"):
                if time.monotonic() >= end:
                    break
                time.sleep(_POLL_S)
            left = wire.ask(
                conn,
                f"""select a.pid::text || ' (' || case a.application_name when '' then 'unnamed'
                        else a.application_name end || ')'
                    from pg_catalog.pg_stat_activity a
                    where {_since(since)} and a.pid <> pg_catalog.pg_backend_pid()
                    order by a.pid""",
            )
    except JobError as error:
        return f"its sessions on the server could not be looked at ({error})"
    names = [name for (name,) in typed(tuple[str], left)]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    if not names:
        return ""
    return f"sessions that began meanwhile and may be its: pid {', '.join(names[:_SHOWN])}{more}"


def _since(since: str) -> str:
    return f"{_OURS} and a.backend_start > {literal(since)}::timestamptz"
