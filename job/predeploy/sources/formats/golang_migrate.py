"""golang-migrate: `<version>_<name>.up.sql`, with a `.down.sql` beside it that is left alone.

https://github.com/golang-migrate/migrate/blob/master/MIGRATIONS.md
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding
from predeploy.settings.versions import version_of
from predeploy.sources.formats.format import (
    TABLE,
    Applied,
    Format,
    History,
    Mirror,
    Row,
    next_version,
    stray,
)
from predeploy.sources.layout import Role
from predeploy.sources.script import Script, script_of, scripts_of
from predeploy.sources.walk import File, Folder

_NAME = re.compile(r"(\d+)_.*\.(up|down)\.sql")
_TABLE = "schema_migrations"


def read(folder: Folder, problems: list[str]) -> tuple[Script, ...]:
    """Read the migrations that go up; problems go to `problems`."""
    scripts = scripts_of(folder.having(Role.MIGRATION), _read, problems)
    problems.extend(_twice(scripts))
    return tuple(sorted(scripts, key=lambda script: script.version))


def _read(file: File) -> Script | None:
    base = file.name.rpartition("/")[2]
    match = _NAME.fullmatch(base)
    if match is None:
        raise stray(file, "golang-migrate", "<version>_<name>.up.sql")
    return script_of(file, version=version_of(base)) if match[2] == "up" else None


def _twice(scripts: list[Script]) -> Iterator[str]:
    """Name the files that share a version, which the tool refuses as well."""
    by_version: dict[tuple[int, ...], list[Script]] = defaultdict(list)
    for script in scripts:
        by_version[script.version].append(script)
    for first, *others in by_version.values():
        for script in others:
            yield f"{script.path}: has the version of {first.path}; give one of them another"


def judge(scripts: tuple[Script, ...], rows: tuple[Row, ...]) -> Applied:
    """Return what has been applied: all files up to the version in the table's only row."""
    if not rows:
        return Applied()
    version, is_dirty = rows[-1]["version"], rows[-1]["dirty"]
    known = {script.version for script in scripts}
    applied = {script.name: "" for script in scripts if script.version <= (version,)}
    if is_dirty:
        return Applied(applied, (("", _dirty(version)),))
    if version >= 0 and (version,) not in known and applied != {s.name: "" for s in scripts}:
        return Applied(applied, (("", _unknown(version)),))
    return Applied(applied)


def _dirty(version: int) -> Finding:
    return Finding(
        "history-failed",
        f"golang-migrate left version {version} dirty: it began that file and did not finish it, "
        "and what of it is done is not known",
        f"look at `select * from {TABLE}` and at the database; then run `migrate force {version}` "
        "if all of the file is there, or, once nothing of it is, `migrate force` with the version "
        "before it",
        ExitCode.BAD_SOURCES,
    )


def _unknown(version: int) -> Finding:
    return Finding(
        "history-unknown",
        f"golang-migrate has recorded version {version}, which no file here has: which of the "
        "files came before it is not certain",
        "deploy the folder that has it, or put its file back",
        ExitCode.BAD_SOURCES,
    )


def _create(table: str) -> tuple[str, ...]:
    return (
        f"""create table if not exists {table}
            (version bigint not null primary key, dirty boolean not null)""",
    )


def _write(script: Script, table: str, _: frozenset[str]) -> tuple[str, ...]:
    # The only row holds the newest version, whatever came late.
    version = script.version[0]
    return (
        f"update {table} set version = {version} where version < {version}",
        f"""insert into {table} (version, dirty) select {version}, false
            where not exists (select from {table})""",
    )


def _new(names: tuple[str, ...], name: str, now: datetime) -> dict[str, str]:
    version = next_version(names, now)
    return {f"{version}_{name}.{way}.sql": "" for way in ("up", "down")}


FORMAT = Format(
    read,
    History(
        "golang-migrate",
        _TABLE,
        frozenset({"version", "dirty"}),
        "version",
        judge,
        mirror=Mirror(_create, _write),
    ),
    _new,
)
