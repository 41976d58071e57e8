"""Supabase: `migrations/<YYYYMMDDHHMMSS>_<name>.sql`, read as predeploy's own.

https://supabase.com/docs/guides/deployment/database-migrations
"""

from predeploy.contract.quoting import literal
from predeploy.sources.formats import native
from predeploy.sources.formats.format import Format
from predeploy.sources.formats.history import Applied, History, Mirror, Row
from predeploy.sources.script import Script


def judge(scripts: tuple[Script, ...], rows: tuple[Row, ...]) -> Applied:
    """Return what has been applied: files whose version has a row. It keeps no time."""
    versions = {row["version"] for row in rows}
    return Applied({s.name: "" for s in scripts if s.name.partition("_")[0] in versions})


def _create(table: str) -> tuple[str, ...]:
    return (
        "create schema if not exists supabase_migrations",
        f"""create table if not exists {table}
            (version text not null primary key, statements text[], name text)""",
    )


def _write(script: Script, table: str, _columns: frozenset[str]) -> tuple[str, ...]:
    version, _, rest = script.name.removesuffix(".sql").partition("_")
    return (
        f"""insert into {table} (version, name, statements)
            values ({literal(version)}, {literal(rest)}, array[{literal(script.text)}])""",
    )


FORMAT = Format(
    native.read,
    History(
        "Supabase", "schema_migrations", frozenset({"version", "statements", "name"}), "version",
        judge, mirror=Mirror(_create, _write, "supabase_migrations"),
    ),
)  # fmt: skip
