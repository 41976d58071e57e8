"""The roles that could plant a function or operator that the operator's SQL may call."""

from predeploy.contract.plan import Finding
from predeploy.contract.quoting import identifier
from predeploy.database.catalog.trust import IS_STRANGE, OURS
from predeploy.database.server import wire
from predeploy.database.server.path import OWN_PATH, SCHEMAS, keep_sql
from predeploy.database.server.wire import Connection
from predeploy.settings.endpoint import Endpoint


def open_schemas(conn: Connection, endpoint: Endpoint) -> tuple[Finding, ...]:
    """Return a warning for each role that may create objects in a schema of the search_path."""
    rows = wire.ask_plainly(
        conn,
        f"""{keep_sql(endpoint)};
        {OWN_PATH};
        {OURS}
        select n.nspname, coalesce(r.rolname::text, 'public')
        from pg_catalog.pg_namespace n
        cross join lateral pg_catalog.aclexplode(
            coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) a
        left join pg_catalog.pg_roles r on r.oid = a.grantee
        where n.nspname = any ({SCHEMAS}) and a.privilege_type = 'CREATE'
          and (a.grantee = 0 or {IS_STRANGE})
        order by n.nspname, r.rolname""",
    )
    return tuple(
        Finding(
            "open-schema",
            f"{'every role' if role == 'public' else role} may create functions and operators in "
            f"schema {schema}, which is on the search_path: a name without a schema in your files "
            f"may call them, with the rights of {conn.info.user}",
            f"revoke create on schema {identifier(schema or '')} from "
            f"{'public' if role == 'public' else identifier(role or '')}",
        )
        for schema, role in rows
    )
