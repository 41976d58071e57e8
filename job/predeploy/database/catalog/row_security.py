"""What to do if row-level security would hide rows, which is an error here (42501).

Everything runs with `row_security = off`: PostgreSQL then refuses queries that a policy would
filter. https://www.postgresql.org/docs/current/ddl-rowsecurity.html
"""

from predeploy.contract.quoting import identifier, literal
from predeploy.database.server import wire
from predeploy.database.server.wire import Connection
from predeploy.sources.filtered import LET_IT_FILTER


def way_out(conn: Connection, message: str, path: str = "") -> str:
    """Return the role, the table, its policies and the ways out; `path` is the file to change.

    `message` is the server's, which names the table without schema and may be localized. Needs an
    idle connection.
    """
    role = identifier(conn.info.user)
    rows = wire.ask(
        conn,
        f"""select format('%I.%I', n.nspname, c.relname), pg_has_role(c.relowner, 'usage'), (
                select string_agg(quote_ident(p.polname), ', ' order by p.polname)
                from pg_catalog.pg_policy p where p.polrelid = c.oid)
            from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where c.relrowsecurity and strpos({literal(message)}, c.relname) > 0
            order by row_security_active(c.oid) desc, length(c.relname) desc limit 1""",
    )
    ways = [f"let the role see every row: ALTER ROLE {role} BYPASSRLS (a superuser can)"]
    if not rows:  # the step itself has created it
        subject = f"role {role} is subject to row-level security there"
        ways.append("or ALTER TABLE … NO FORCE ROW LEVEL SECURITY, as its owner")
    else:
        table, is_ours, policies = rows[0]
        what = f"policy {policies}" if policies else "row-level security, without a policy,"
        subject = f"role {role} is subject to {what} of {table}"
        if is_ours == "t":
            ways.append(f"or ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        else:
            ways.append(f"or connect as the owner of {table}")
    if path:
        ways.append(f"or, where the filter is meant, write `{LET_IT_FILTER};` in {path}")
    return f"{subject}; {', '.join(ways)}"
