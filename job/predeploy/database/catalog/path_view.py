"""Queries the schemas on the operator's search_path, on this server and for this role."""

import json

from predeploy.contract.quoting import literal
from predeploy.database.server import wire
from predeploy.database.server.path import OWN_PATH, SCHEMAS, TEXT, keep_sql
from predeploy.database.server.rows import Row
from predeploy.database.server.wire import Connection
from predeploy.settings.endpoint import Endpoint
from predeploy.snapshot import PathView


def view_sql(endpoint: Endpoint) -> str:
    """Return the query whose result `parse_view` reads."""
    names = _names(endpoint)
    there = ", ".join(f"({literal(name)})" for name in names) or "(null)"
    return f"""select {TEXT}, pg_catalog.to_json({SCHEMAS}), (
            select case when s.setrole = 0 and s.setdatabase = 0 then 'all roles'
                        when s.setrole = 0 then 'the database'
                        when s.setdatabase = 0 then 'the role'
                        else 'the role in this database' end
            from pg_catalog.pg_db_role_setting s cross join unnest(s.setconfig) c(setting)
            where c.setting like 'search\\_path=%'
              and s.setrole in (0, (select oid from pg_catalog.pg_roles
                                    where rolname = session_user))
              and s.setdatabase in (0, (select oid from pg_catalog.pg_database
                                        where datname = current_database()))
            order by s.setrole = 0, s.setdatabase = 0 limit 1), (
            select coalesce(json_agg(v.name) filter (where n.oid is null), '[]')
            from (values {there}) v(name) left join pg_catalog.pg_namespace n on n.nspname = v.name
            where v.name is not null), (
            select coalesce(json_agg(v.name)
                filter (where not has_schema_privilege(n.oid, 'usage')), '[]')
            from (values {there}) v(name) join pg_catalog.pg_namespace n on n.nspname = v.name)"""


def parse_view(rows: list[Row], endpoint: Endpoint) -> PathView:
    """Convert the result of `view_sql`."""
    ((text, there, setter, *apart),) = rows
    given = endpoint.search_path
    schemas, absent, closed = (_names_in(found) for found in (there, *apart))
    if given is None:
        said_by = f"the search_path of {setter or 'the server'}"
        return PathView(schemas, text or "", said_by, absent, closed, names=schemas)
    own = next((name for name in schemas if name not in given.names), "")  # what "$user" stands for
    named = (own if name == "$user" else name for name in given.names)
    names = tuple(name for name in named if name in (*schemas, *absent))
    return PathView(schemas, text or "", given.given_by, absent, closed, names)


def read_schemas(conn: Connection, endpoint: Endpoint) -> tuple[str, ...]:
    """Query the schemas alone in an open transaction, which keeps predeploy's search_path."""
    sql = f"{keep_sql(endpoint)};\n{OWN_PATH};\nselect pg_catalog.to_json({SCHEMAS})"
    return _names_in(wire.ask_plainly(conn, sql)[0][0])


def _names_in(found: str | None) -> tuple[str, ...]:
    return tuple(json.loads(found or "[]"))


def read_view(conn: Connection, endpoint: Endpoint) -> PathView:
    """Query the view separately, on an idle connection."""
    sql = f"{keep_sql(endpoint)};\n{OWN_PATH};\n{view_sql(endpoint)}"
    return parse_view(wire.ask_plainly(conn, sql), endpoint)


def _names(endpoint: Endpoint) -> tuple[str, ...]:
    """Return the schemas that the connection string names, as named in the catalog."""
    given = endpoint.search_path
    names = given.names if given else ()
    return tuple(name for name in names if name != "$user" and not name.startswith("pg_"))
