"""Which GRANT fixes a refusal, as far as the server's words tell."""

import re

_DENIED = re.compile(r"^permission denied for (?P<kind>[a-z ]+?) (?P<name>\S+)$")
_NOT_OWNER = re.compile(r"^must be (?:the )?owner of (?P<what>.+)$")
_NOT_LET_IN = "new row violates row-level security policy"
_GRANTS = {
    "schema": "USAGE, CREATE ON SCHEMA",
    "database": "CREATE ON DATABASE",
    "table": "ALL ON TABLE",
    "view": "ALL ON TABLE",
    "materialized view": "ALL ON TABLE",
    "foreign table": "ALL ON TABLE",
    "sequence": "ALL ON SEQUENCE",
    "function": "EXECUTE ON FUNCTION",
    "procedure": "EXECUTE ON PROCEDURE",
    "type": "USAGE ON TYPE",
    "language": "USAGE ON LANGUAGE",
    "tablespace": "CREATE ON TABLESPACE",
    "foreign-data wrapper": "USAGE ON FOREIGN DATA WRAPPER",
    "foreign server": "USAGE ON FOREIGN SERVER",
}


# What a query asks for that only looks.
_TO_READ = {
    "schema": "USAGE ON SCHEMA",
    "table": "SELECT ON TABLE",
    "view": "SELECT ON TABLE",
    "materialized view": "SELECT ON TABLE",
    "foreign table": "SELECT ON TABLE",
    "sequence": "SELECT ON SEQUENCE",
}


def grant_for(message: str, role: str, *, to_read: bool = False) -> str:
    """Say what to do about `message`, which refuses something to `role` (quoted as an identifier).

    The server names neither the privilege nor the schema of a table, and speaks its own language.
    """
    grants = _GRANTS | _TO_READ if to_read else _GRANTS
    denied = _DENIED.match(message)
    if denied and denied["kind"] in grants:
        return f"GRANT {grants[denied['kind']]} {denied['name']} TO {role}, or connect as its owner"
    if owner := _NOT_OWNER.match(message):
        return f"connect as the owner of {owner['what']}, or make {role} a member of that role"
    if message.startswith(_NOT_LET_IN):
        return (
            f"write rows that the policy lets {role} write; where it reads a setting, set that "
            f"first in the same file; or ALTER ROLE {role} BYPASSRLS (a superuser can)"
        )
    return f"GRANT what is missing to {role}, or connect as the owner"
