"""Supabase: `migrations/<YYYYMMDDHHMMSS>_<name>.sql`, read as predeploy's own.

https://supabase.com/docs/guides/deployment/database-migrations
"""

from datetime import datetime

from predeploy.contract.quoting import literal
from predeploy.sources.formats import native
from predeploy.sources.formats.format import Applied, Format, History, Mirror, Row, timestamp
from predeploy.sources.script import Script


def judge(scripts: tuple[Script, ...], rows: tuple[Row, ...]) -> Applied:
    """Return what has been applied: files whose version and name have a row. It keeps no time."""
    done = {(row["version"], row["name"]) for row in rows}
    named = {script.name: _version_and_name(script) for script in scripts}
    # Old rows have no name.
    return Applied({n: "" for n, (v, rest) in named.items() if done & {(v, rest), (v, None)}})


def _version_and_name(script: Script) -> tuple[str, str]:
    version, _, rest = script.name.removesuffix(".sql").partition("_")
    return version, rest


def _create(table: str) -> tuple[str, ...]:
    return (
        "create schema if not exists supabase_migrations",
        f"""create table if not exists {table}
            (version text not null primary key, statements text[], name text)""",
    )


def _write(script: Script, table: str, _columns: frozenset[str]) -> tuple[str, ...]:
    version, rest = _version_and_name(script)
    return (
        f"""insert into {table} (version, name, statements)
            values ({literal(version)}, {literal(rest)}, array[{literal(script.text)}])""",
    )


def _new(names: tuple[str, ...], name: str, now: datetime) -> dict[str, str]:
    return {f"{timestamp(names, now)}_{name}.sql": ""}


FORMAT = Format(
    native.read,
    History(
        "Supabase", "schema_migrations", frozenset({"version", "statements", "name"}), "version",
        judge, mirror=Mirror(_create, _write, "supabase_migrations"),
    ),
    _new,
)  # fmt: skip
