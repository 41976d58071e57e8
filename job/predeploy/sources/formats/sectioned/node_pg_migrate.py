"""node-pg-migrate: `<version>_<name>.sql` with `-- Up Migration` and `-- Down Migration`.

https://salsita.github.io/node-pg-migrate/migrations
"""

import re
from dataclasses import replace
from datetime import datetime

from predeploy.contract.errors import SourcesError
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding
from predeploy.contract.quoting import literal
from predeploy.settings.versions import version_of
from predeploy.sources.formats.format import Applied, Format, History, Mirror, Row
from predeploy.sources.formats.native import same_names
from predeploy.sources.formats.sectioned.sections import only, sections
from predeploy.sources.layout import Role, shown
from predeploy.sources.script import Script, script_of, scripts_of
from predeploy.sources.walk import File, Folder

_MARK = re.compile(
    r"^[ \t]*--[ \t-]*(up|down)[ \t]+migration\b[^\n]*\n?", re.IGNORECASE | re.MULTILINE
)
_TABLE = "pgmigrations"


def read(folder: Folder, problems: list[str]) -> tuple[Script, ...]:
    """Read the migrations: by the number in their names, then by name; problems to `problems`."""
    scripts = scripts_of(folder.having(Role.MIGRATION), _read, problems)
    problems.extend(same_names(scripts))
    return tuple(sorted(scripts, key=lambda script: (script.version, script.name)))


def _read(file: File) -> Script:
    base = shown(file.name).rpartition("/")[2]
    stem = base.rpartition(".")[0]
    script = script_of(file, version=version_of(base), recorded_as=stem)
    if not script.version:
        what = f"{script.path}: has no version; node-pg-migrate runs files such as"
        raise SourcesError((f"{what} 1704067200000_name.sql",))
    found = sections(script.text, _MARK)
    ups = [section for section in found if section.mark == ("up",)]
    if not found:  # all of it goes up
        return script
    if len(ups) != 1:
        many = "no" if not ups else f"{len(ups)} times"
        raise SourcesError((f"{script.path}: has {many} `-- Up Migration`; write it once",))
    return replace(script, text=only(script.text, iter(ups)))


def judge(scripts: tuple[Script, ...], rows: tuple[Row, ...]) -> Applied:
    """Return what has been applied; a file before one that is applied is refused, as there."""
    times = {row["name"]: str(row["run_on"]) for row in rows}
    applied = {s.name: times[s.recorded_as] for s in scripts if s.recorded_as in times}
    newest = max((s.version for s in scripts if s.name in applied), default=())
    late = [s for s in scripts if s.name not in applied and s.version < newest]
    return Applied(applied, tuple((s.name, _late(s)) for s in late))


def _late(script: Script) -> Finding:
    return Finding(
        "history-late",
        f"{script.path} is not applied, and node-pg-migrate would stop for it: a later file is "
        "applied",
        "give it a version above all others, or run `node-pg-migrate up --no-check-order`",
        ExitCode.BAD_SOURCES,
    )


def _create(table: str) -> tuple[str, ...]:
    return (
        f"""create table if not exists {table}
            (id serial primary key, name varchar(255) not null, run_on timestamp not null)""",
    )


def _write(script: Script, table: str, _: frozenset[str]) -> tuple[str, ...]:
    return (f"insert into {table} (name, run_on) values ({literal(script.recorded_as)}, now())",)


def _new(_: tuple[str, ...], name: str, now: datetime) -> dict[str, str]:
    version = int(now.timestamp() * 1000)
    return {f"{version}_{name}.sql": "-- Up Migration\n\n-- Down Migration\n"}


FORMAT = Format(
    read,
    History(
        "node-pg-migrate", _TABLE, frozenset({"id", "name", "run_on"}), "id", judge,
        mirror=Mirror(_create, _write),
    ),
    _new,
)  # fmt: skip
