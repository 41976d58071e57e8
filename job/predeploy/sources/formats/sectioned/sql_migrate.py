"""sql-migrate: `<version>_<name>.sql` with `-- +migrate Up` and `-- +migrate Down`.

https://github.com/rubenv/sql-migrate#writing-migrations
"""

import re
from dataclasses import replace
from datetime import datetime

from predeploy.contract.errors import SourcesError
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding
from predeploy.contract.quoting import literal
from predeploy.settings.versions import version_of
from predeploy.sources.formats.format import Applied, Format, History, Mirror, Row, next_version
from predeploy.sources.formats.native import same_names
from predeploy.sources.formats.sectioned.sections import demand_marks, only, sections
from predeploy.sources.layout import Role, shown
from predeploy.sources.script import Script, script_of, scripts_of
from predeploy.sources.walk import File, Folder

_MARK = re.compile(
    r"^[ \t]*--[ \t]*\+migrate[ \t]+((?:up|down)\b[^\n]*)\n?", re.IGNORECASE | re.MULTILINE
)
_TABLE = "gorp_migrations"


def read(folder: Folder, problems: list[str]) -> tuple[Script, ...]:
    """Read the migrations: by the number in their names, then by name; problems to `problems`."""
    scripts = scripts_of(folder.having(Role.MIGRATION), _read, problems)
    problems.extend(same_names(scripts))
    return tuple(sorted(scripts, key=lambda script: (script.version, script.name)))


def _read(file: File) -> Script:
    base = shown(file.name).rpartition("/")[2]
    script = script_of(file, version=version_of(base))
    found = sections(script.text, _MARK)
    demand_marks(script, found, "sql-migrate", "-- +migrate Up")
    ups = [section for section in found if section.mark[0] == "up"]
    if not ups:
        raise SourcesError((f"{script.path}: has no `-- +migrate Up`; sql-migrate needs one",))
    return replace(
        script,
        text=only(script.text, iter(ups)),
        commits_each=any("notransaction" in section.mark for section in ups),
    )


def judge(scripts: tuple[Script, ...], rows: tuple[Row, ...]) -> Applied:
    """Return what has been applied; a row without a file is refused, as the tool stops for it."""
    times = {row["id"]: str(row["applied_at"] or "") for row in rows}
    applied = {script.name: times[script.name] for script in scripts if script.name in times}
    gone = sorted(times.keys() - {script.name for script in scripts})
    return Applied(applied, (("", _missing(gone[0])),) if applied and gone else ())


def _missing(name: str) -> Finding:
    return Finding(
        "history-unknown",
        f"sql-migrate has applied {name}, which no file here is called",
        "deploy the folder that has it, or put its file back",
        ExitCode.BAD_SOURCES,
    )


def _create(table: str) -> tuple[str, ...]:
    return (
        f"""create table if not exists {table}
            (id text not null primary key, applied_at timestamptz)""",
    )


def _write(script: Script, table: str, _: frozenset[str]) -> tuple[str, ...]:
    return (f"insert into {table} (id, applied_at) values ({literal(script.name)}, now())",)


def _new(names: tuple[str, ...], name: str, now: datetime) -> dict[str, str]:
    version = next_version(names, now)
    return {f"{version}_{name}.sql": "-- +migrate Up\n\n-- +migrate Down\n"}


FORMAT = Format(
    read,
    History(
        "sql-migrate", _TABLE, frozenset({"id", "applied_at"}), "id", judge,
        mirror=Mirror(_create, _write),
    ),
    _new,
)  # fmt: skip
