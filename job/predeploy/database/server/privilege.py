"""Derives the GRANT that fixes a refusal from the server's message. `advice` asks the catalog."""

import re
from dataclasses import dataclass

from predeploy.contract.quoting import identifier

_DENIED = re.compile(r"^permission denied for (?P<kind>[a-z -]+?) (?P<name>.+)$", re.DOTALL)
_NOT_OWNER = re.compile(r"^must be (?:the )?owner of (?P<what>.+)$", re.DOTALL)
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
    "aggregate": "EXECUTE ON FUNCTION",
    "type": "USAGE ON TYPE",
    "language": "USAGE ON LANGUAGE",
    "tablespace": "CREATE ON TABLESPACE",
    "foreign-data wrapper": "USAGE ON FOREIGN DATA WRAPPER",
    "foreign server": "USAGE ON FOREIGN SERVER",
}
# The privileges needed by a query that only reads.
_TO_READ = {
    "schema": "USAGE ON SCHEMA",
    "table": "SELECT ON TABLE",
    "view": "SELECT ON TABLE",
    "materialized view": "SELECT ON TABLE",
    "foreign table": "SELECT ON TABLE",
    "sequence": "SELECT ON SEQUENCE",
}
_KINDS = sorted([*_GRANTS, "index", "relation"], key=len, reverse=True)


@dataclass(frozen=True, slots=True)
class Refused:
    """The object of a refusal: a kind and a name as in the catalog, without schema."""

    kind: str
    name: str
    is_ownership: bool = False


def refused_in(message: str) -> Refused | None:
    """Return what the message names; None if it names nothing, or is in another language."""
    if owner := _NOT_OWNER.match(message):
        what = owner["what"]
        kind = next((kind for kind in _KINDS if what.startswith(f"{kind} ")), None)
        return Refused(kind, what.removeprefix(f"{kind} "), is_ownership=True) if kind else None
    denied = _DENIED.match(message)
    if denied is None:
        return None
    said = f"{denied['kind']} {denied['name']}"
    kind = next((kind for kind in _GRANTS if said.startswith(f"{kind} ")), None)
    return Refused(kind, said.removeprefix(f"{kind} ")) if kind else None


def grant_for(message: str, role: str, *, to_read: bool = False, name: str = "") -> str:
    """Return what to do about `message`, which denies something to `role` (a quoted identifier).

    `name` is the object's name in SQL, if it is known better than from the message: the server
    names neither the privilege nor a table's schema, and its message may be localized.
    """
    grants = _GRANTS | _TO_READ if to_read else _GRANTS
    refused = refused_in(message)
    if refused is not None and not refused.is_ownership:
        what = f"{grants[refused.kind]} {name or _quoted(refused.name)}"
        return f"GRANT {what} TO {role}, or connect as its owner"
    if owner := _NOT_OWNER.match(message):
        return f"connect as the owner of {owner['what']}, or make {role} a member of that role"
    if message.startswith(_NOT_LET_IN):
        return (
            f"write rows that the policy lets {role} write; where it reads a setting, set that "
            f"first in the same file; or ALTER ROLE {role} BYPASSRLS (a superuser can)"
        )
    return f"GRANT what is missing to {role}, or connect as the owner"


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else identifier(name)
