"""Supabase: `migrations/<YYYYMMDDHHMMSS>_<name>.sql`, read as predeploy's own.

https://supabase.com/docs/guides/deployment/database-migrations
"""

from predeploy.sources.formats import native
from predeploy.sources.formats.format import Format
from predeploy.sources.formats.history import Applied, History, Row
from predeploy.sources.script import Script


def judge(scripts: tuple[Script, ...], rows: tuple[Row, ...]) -> Applied:
    """Return what has been applied: files whose version has a row. It keeps no time."""
    versions = {row["version"] for row in rows}
    return Applied({s.name: "" for s in scripts if s.name.partition("_")[0] in versions})


FORMAT = Format(
    native.read,
    History(
        "Supabase", "schema_migrations", frozenset({"version", "statements", "name"}), "version",
        judge,
    ),
)  # fmt: skip
