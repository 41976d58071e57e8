"""sqlx: `<version>_<name>.sql`, or `.up.sql` with a `.down.sql` beside it that is left alone.

https://docs.rs/sqlx/latest/sqlx/macro.migrate.html
"""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding
from predeploy.contract.quoting import literal
from predeploy.settings.versions import Version, version_of
from predeploy.sources.formats.format import (
    TABLE,
    Applied,
    Format,
    History,
    Mirror,
    Row,
    ToolSettings,
    stray,
    timestamp,
)
from predeploy.sources.formats.native import by_version
from predeploy.sources.layout import Role, shown
from predeploy.sources.script import Script, script_of
from predeploy.sources.walk import File, Folder

_NAME = re.compile(r"\d+_.+\.sql")
_DOWN = ".down.sql"
_OUTSIDE = "-- no-transaction"
_TABLE = "_sqlx_migrations"
_FILE = "sqlx.toml"


def read(folder: Folder, problems: list[str]) -> tuple[Script, ...]:
    """Read the migrations, by what `sqlx.toml` says of them; problems go to `problems`."""
    said = _settings(folder, problems)
    ignored, table = said.get("ignored-chars", []), said.get("table-name", "")
    if not (isinstance(ignored, list) and all(isinstance(each, str) for each in ignored)):
        problems.append(f"{_FILE}: ignored-chars is {ignored!r}; it must be a list of texts")
        ignored = []
    if not isinstance(table, str):
        problems.append(f"{_FILE}: table-name is {table!r}; it must be a text")
    return by_version(folder, partial(_read, ignored="".join(ignored)), problems)


def settings_of(folder: Folder) -> ToolSettings:
    """Return what `sqlx.toml` says about the history table."""
    name = _settings(folder, []).get("table-name", "")
    return ToolSettings(table=name if isinstance(name, str) else "")


def _settings(folder: Folder, problems: list[str]) -> Mapping[str, Any]:
    """Return what `sqlx.toml` says under [migrate]."""
    for file in folder.having(Role.TOOL):
        if file.name == folder.home + _FILE:
            try:
                said = tomllib.loads(file.content.decode()).get("migrate", {})
            except ValueError as error:
                problems.append(f"{file.name}: cannot be read: {error}")
                return {}
            if isinstance(said, dict):
                return said
            problems.append(f"{file.name}: migrate is {said!r}; it must be a table")
    return {}


def _read(file: File, ignored: str) -> Script | None:
    base = shown(file.name).rpartition("/")[2]
    if _NAME.fullmatch(base) is None:
        raise stray(file, "sqlx", "<version>_<name>.sql")
    if base.endswith(_DOWN):
        return None
    is_outside = file.content.startswith(_OUTSIDE.encode())
    script = script_of(file, version=version_of(base), commits_each=is_outside)
    counted = file.content.decode().translate({ord(each): None for each in ignored})
    return replace(script, recorded_as=hashlib.sha384(counted.encode()).hexdigest())


def judge(scripts: tuple[Script, ...], rows: tuple[Row, ...]) -> Applied:
    """Return what has been applied; what sqlx refuses is refused here, too.

    The history is another app's if no checksum is that of a file: versions alone may be anybody's.
    """
    by_version: dict[Version, Row] = {(row["version"],): row for row in rows}
    known = {script.version: script for script in scripts}
    shared = {v: row for v, row in by_version.items() if v in known}
    if not any(_is_of(row, known[version]) for version, row in shared.items()):
        return Applied()
    return Applied(
        {
            known[version].name: str(row["installed_on"])
            for version, row in shared.items()
            if row["success"]
        },
        tuple(_refusals(known, shared)) + _missing(by_version, known),
    )


def _refusals(
    known: dict[Version, Script], shared: dict[Version, Row]
) -> Iterator[tuple[str, Finding]]:
    for version, row in shared.items():
        script = known[version]
        if not row["success"]:
            yield script.name, _failed(script)
        elif not _is_of(row, script):
            yield script.name, _edited(script, row)


def _is_of(row: Row, script: Script) -> bool:
    return bool(row["checksum"].removeprefix("\\x") == _checksum(script))


def _checksum(script: Script) -> str:
    # Plain files that were read as another format's have none yet.
    return script.recorded_as or hashlib.sha384(script.text.encode()).hexdigest()


def _failed(script: Script) -> Finding:
    version = script.version[0]
    return Finding(
        "history-failed",
        f"sqlx began {script.path} and did not finish it: what of it is done is not known",
        f"look at `select * from {TABLE} where version = {version}` and at the database; undo "
        f"what is done of it, then `delete from {TABLE} where version = {version}`",
        ExitCode.BAD_SOURCES,
    )


def _edited(script: Script, row: Row) -> Finding:
    return Finding(
        "history-edited",
        f"{script.path} has been edited since sqlx applied it at {row['installed_on']}: its "
        "checksum is another, and sqlx stops for that",
        "put the old text back, and write the change as a new migration",
        ExitCode.BAD_SOURCES,
    )


def _missing(
    rows: dict[Version, Row], known: dict[Version, Script]
) -> tuple[tuple[str, Finding], ...]:
    """Refuse versions without a file, as sqlx does unless it is told to ignore them."""
    gone = sorted(rows.keys() - known.keys())
    if not gone:
        return ()
    return (
        (
            "",
            Finding(
                "history-unknown",
                f"sqlx has applied version {gone[0][0]}, which no file here has",
                "deploy the folder that has it, or put its file back",
                ExitCode.BAD_SOURCES,
            ),
        ),
    )


def _create(table: str) -> tuple[str, ...]:
    return (
        f"""create table if not exists {table} (
            version bigint primary key, description text not null,
            installed_on timestamptz not null default now(), success boolean not null,
            checksum bytea not null, execution_time bigint not null)""",
    )


def _write(script: Script, table: str, _: frozenset[str]) -> tuple[str, ...]:
    name = script.name.removesuffix(".sql").removesuffix(".up").partition("_")[2]
    description, checksum = literal(name.replace("_", " ")), literal(f"\\x{_checksum(script)}")
    return (
        f"""insert into {table} (version, description, success, checksum, execution_time)
            values ({script.version[0]}, {description}, true, {checksum}::bytea, -1)""",
    )


def _new(names: tuple[str, ...], name: str, now: datetime) -> dict[str, str]:
    is_reversible = any(each.endswith(_DOWN) for each in names)
    stem = f"{timestamp(names, now)}_{name}"
    return {f"{stem}{way}.sql": "" for way in ((".up", ".down") if is_reversible else ("",))}


FORMAT = Format(
    read,
    History(
        "sqlx",
        _TABLE,
        frozenset({"version", "description", "success", "checksum", "installed_on"}),
        "version",
        judge,
        mirror=Mirror(_create, _write),
    ),
    _new,
    settings_of,
)
