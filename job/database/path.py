"""Whose search_path counts: ours for what we have written, theirs for the operator's text.

An unqualified function or operator is looked up along the search_path, and an overload that fits
better wins wherever it stands. So whoever may create one in a schema of that path is called by
queries that do not mean it, with the rights of the role that asks (CVE-2018-1058). Under our path
only PostgreSQL's own are found. The temporary schema comes last: where it is not named, its tables
and types come first.
"""

import re

OURS = "pg_catalog, pg_temp"
THEIRS = "default"

OUR_PATH = f"set local search_path to {OURS}"
"""From here on, to the end of the transaction, what runs is ours. It looks nothing up itself."""
THEIR_PATH = f"set local search_path to {THEIRS}"
"""From here on what runs is the operator's text, and means what it means in a session of theirs."""

_NAME = re.compile(r'"((?:[^"]|"")*)"|([^\s,"]+)')


def schemas_of(search_path: str, user: str) -> tuple[str, ...]:
    """Return the schemas in the text of a search_path, whether they are there or not."""
    quoted_or_not = (match.groups() for match in _NAME.finditer(search_path))
    names = (
        plain.lower() if plain else quoted.replace('""', '"') for quoted, plain in quoted_or_not
    )
    return tuple(user if name == "$user" else name for name in names if name)
