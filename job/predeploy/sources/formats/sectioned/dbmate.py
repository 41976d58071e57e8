"""dbmate: `<digits>_<name>.sql` with `-- migrate:up` and `-- migrate:down`, which is left alone.

https://github.com/amacneil/dbmate#creating-migrations
"""

import re
from dataclasses import replace
from datetime import datetime

from predeploy.contract.errors import SourcesError
from predeploy.contract.quoting import literal
from predeploy.settings.versions import version_of
from predeploy.sources.formats.format import Applied, Format, History, Mirror, Row, timestamp
from predeploy.sources.formats.native import same_names
from predeploy.sources.formats.sectioned.sections import demand_marks, only, sections
from predeploy.sources.layout import Role, shown
from predeploy.sources.script import Script, script_of, scripts_of
from predeploy.sources.walk import File, Folder

_MARK = re.compile(r"^[ \t]*--[ \t]*migrate:((?:up|down)\b[^\n]*)\n?", re.MULTILINE)
_VERSION = re.compile(r"\d+")


def read(folder: Folder, problems: list[str]) -> tuple[Script, ...]:
    """Read the migrations, in the order of their names; problems go to `problems`."""
    scripts = scripts_of(folder.having(Role.MIGRATION), _read, problems)
    problems.extend(same_names(scripts))
    return tuple(sorted(scripts, key=lambda script: script.name))


def _read(file: File) -> Script:
    base = shown(file.name).rpartition("/")[2]
    script = script_of(file, version=version_of(base))
    number = _VERSION.match(base)
    if number is None:
        raise SourcesError(
            (f"{script.path}: has no version; dbmate runs files such as 20240102030405_name.sql",)
        )
    found = sections(script.text, _MARK)
    demand_marks(script, found, "dbmate", "-- migrate:up")
    ups = [section for section in found if section.mark[0] == "up"]
    if not ups:
        raise SourcesError((f"{script.path}: has no `-- migrate:up`, without which dbmate stops",))
    return replace(
        script,
        recorded_as=number[0],
        text=only(script.text, iter(ups)),
        commits_each=any("transaction:false" in section.mark for section in ups),
    )


def judge(scripts: tuple[Script, ...], rows: tuple[Row, ...]) -> Applied:
    """Return what has been applied: files whose version has a row. It keeps no time."""
    versions = {row["version"] for row in rows}
    return Applied({s.name: "" for s in scripts if s.recorded_as in versions})


def _create(table: str) -> tuple[str, ...]:
    return (f"create table if not exists {table} (version varchar(128) primary key)",)


def _write(script: Script, table: str, _: frozenset[str]) -> tuple[str, ...]:
    return (f"insert into {table} (version) values ({literal(script.recorded_as)})",)


def _new(names: tuple[str, ...], name: str, now: datetime) -> dict[str, str]:
    version = timestamp(names, now)
    return {f"{version}_{name}.sql": "-- migrate:up\n\n-- migrate:down\n"}


FORMAT = Format(
    read,
    History(
        "dbmate", "schema_migrations", frozenset({"version"}), "version", judge,
        foreign=frozenset({"dirty", "inserted_at", "statements", "name", "ar_internal_metadata"}),
        mirror=Mirror(_create, _write),
    ),
    _new,
)  # fmt: skip
