"""diesel: `<version>_<name>/up.sql`, with a `down.sql` beside it that is left alone.

https://diesel.rs/guides/configuring-diesel-cli https://docs.rs/diesel_migrations
"""

import re
import tomllib
from datetime import datetime
from functools import partial

from predeploy.contract.quoting import literal
from predeploy.settings.versions import version_of
from predeploy.sources.formats.format import Applied, Format, History, Mirror, Row, stray
from predeploy.sources.formats.native import same_names
from predeploy.sources.layout import Role, shown
from predeploy.sources.script import Script, script_of, scripts_of
from predeploy.sources.walk import File, Folder

_NAME = re.compile(r"(?:.*/)?([\d-]+_[^/]*)/(up|down)\.sql")
_SETTINGS = "/metadata.toml"
_TABLE = "__diesel_schema_migrations"


def read(folder: Folder, problems: list[str]) -> tuple[Script, ...]:
    """Read the migrations that go up, by version; problems go to `problems`."""
    outside = {
        file.name.removesuffix(_SETTINGS)
        for file in folder.having(Role.TOOL)
        if file.name.endswith(_SETTINGS) and not _has_transaction(file, problems)
    }
    read_one = partial(_read, outside=outside)
    scripts = scripts_of(folder.having(Role.MIGRATION), read_one, problems)
    problems.extend(same_names(scripts))
    return tuple(sorted(scripts, key=lambda script: script.recorded_as))


def _has_transaction(file: File, problems: list[str]) -> bool:
    try:
        return tomllib.loads(file.content.decode()).get("run_in_transaction", True) is not False
    except ValueError as error:
        problems.append(f"{file.name}: cannot be read: {error}")
        return True


def _read(file: File, outside: set[str]) -> Script | None:
    match = _NAME.fullmatch(shown(file.name))
    if match is None:
        raise stray(file, "diesel", "<version>_<name>/up.sql")
    if match[2] == "down":
        return None
    name = match[1]
    return script_of(
        file,
        name=name,
        version=version_of(name),
        recorded_as=name.partition("_")[0].replace("-", ""),
        commits_each=file.name.rpartition("/")[0] in outside,
    )


def judge(scripts: tuple[Script, ...], rows: tuple[Row, ...]) -> Applied:
    """Return what has been applied: the versions with a row. A late file runs, as with diesel."""
    times = {row["version"]: str(row["run_on"]) for row in rows}
    return Applied({s.name: times[s.recorded_as] for s in scripts if s.recorded_as in times})


def _create(table: str) -> tuple[str, ...]:
    return (
        f"""create table if not exists {table} (version varchar(50) primary key,
            run_on timestamp not null default current_timestamp)""",
    )


def _write(script: Script, table: str, _: frozenset[str]) -> tuple[str, ...]:
    return (f"insert into {table} (version) values ({literal(script.recorded_as)})",)


def _new(_: tuple[str, ...], name: str, now: datetime) -> dict[str, str]:
    folder = f"{now:%Y-%m-%d-%H%M%S}_{name}"
    return {f"{folder}/up.sql": "", f"{folder}/down.sql": ""}


FORMAT = Format(
    read,
    History(
        "diesel", _TABLE, frozenset({"version", "run_on"}), "version", judge,
        mirror=Mirror(_create, _write),
    ),
    _new,
)  # fmt: skip
