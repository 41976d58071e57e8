"""Drizzle: 0.x has `<tag>.sql` in the order of `meta/_journal.json`, 1.0 folders in that of names.

https://orm.drizzle.team/docs/kit-overview
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding
from predeploy.contract.quoting import literal
from predeploy.settings.versions import version_of
from predeploy.sources.formats.format import Applied, Format, History, Mirror, Row, only_by, stray
from predeploy.sources.layout import Role, shown
from predeploy.sources.script import Script, script_of, scripts_of
from predeploy.sources.walk import File, Folder

_JOURNAL = "meta/_journal.json"
_SQL = "migration.sql"
_SCHEMA = "drizzle.__drizzle_migrations"


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry of the journal: the file's name without .sql, and when it was generated, in ms."""

    tag: str
    when: int


def read(folder: Folder, problems: list[str]) -> tuple[Script, ...]:
    """Read the migrations of either layout; problems go to `problems`."""
    journal = next((f for f in folder.having(Role.TOOL) if f.name == folder.home + _JOURNAL), None)
    if journal is None:
        return _read_folders(folder, problems)
    return _read_journal(folder, journal, problems)


def _read_journal(folder: Folder, journal: File, problems: list[str]) -> tuple[Script, ...]:
    known = len(problems)
    entries = tuple(_entries(journal, problems))
    is_read = len(problems) == known
    files = {f.name.removeprefix(folder.home): f for f in folder.having(Role.MIGRATION)}
    listed = {f"{entry.tag}.sql": entry for entry in entries}
    problems.extend(
        f"{folder.home}{name}: {_JOURNAL} lists it, and it is not there"
        for name in listed
        if name not in files
    )
    scripts = scripts_of(
        (files[name] for name in listed if name in files),
        lambda file: _read_listed(file, listed[file.name.removeprefix(folder.home)]),
        problems,
    )
    if is_read:
        problems.extend(
            f"{shown(files[name].name)}: {_JOURNAL} does not list it, so Drizzle would not run "
            "it; make it with `drizzle-kit generate --custom`, or move it out of the migrations"
            for name in sorted(files.keys() - listed.keys())
        )
    return tuple(scripts)


def _read_listed(file: File, entry: _Entry) -> Script:
    return script_of(file, version=version_of(entry.tag), recorded_as=str(entry.when))


def _entries(journal: File, problems: list[str]) -> Iterator[_Entry]:
    """Yield the journal's entries in their order; what cannot be read goes to `problems`."""
    label = shown(journal.name)
    try:
        found: Any = json.loads(journal.content)
    except json.JSONDecodeError as error:
        problems.append(f"{label}:{error.lineno}: is not valid JSON: {error.msg}")
        return
    except (UnicodeDecodeError, RecursionError):
        problems.append(f"{label}: is not valid JSON")
        return
    entries = found.get("entries") if isinstance(found, dict) else None
    if not isinstance(entries, list):
        problems.append(f"{label}: has no list of `entries`; is it Drizzle's journal?")
        return
    for number, entry in enumerate(entries):
        match entry:
            case {"tag": str(tag), "when": int(when)} if tag and "/" not in tag:
                yield _Entry(tag, when)
            case _:
                problems.append(f"{label}: entry {number} has no `tag` and `when`")


def _read_folders(folder: Folder, problems: list[str]) -> tuple[Script, ...]:
    read = partial(_read_folder, home=folder.home)
    scripts = scripts_of(folder.having(Role.MIGRATION), read, problems)
    return tuple(sorted(scripts, key=lambda script: script.name))


def _read_folder(file: File, home: str) -> Script:
    inside, _, base = file.name.removeprefix(home).rpartition("/")
    if base != _SQL or not inside or "/" in inside:
        raise stray(file, "Drizzle", f"<name>/{_SQL}")
    return script_of(file, name=inside, version=version_of(inside))


def judge(scripts: tuple[Script, ...], rows: tuple[Row, ...]) -> Applied:
    """Return what has been applied: the files that have a row, and those before the first row.

    Rows name files since 1.0; before, they hold the journal's `when`, and the newest one decides.
    Somebody who had a database when Drizzle came has one row, for the last file that is done.
    """
    found = [
        (script, next((row for row in rows if _is_of(row, script)), None)) for script in scripts
    ]
    there = [number for number, (_, row) in enumerate(found) if row is not None]
    if not there:
        return Applied()
    applied = {
        script.name: _moment(row)
        for number, (script, row) in enumerate(found)
        if row is not None or number < there[0]
    }
    late = [script for script, row in found[there[0] : there[-1]] if row is None]
    return Applied(
        applied,
        tuple((script.name, _late(script)) for script in late if script.recorded_as),
        tuple(
            _edited(script, row)
            for script, row in found
            if row is not None and row["hash"] != script.raw_hash
        ),
    )


def _is_of(row: Row, script: Script) -> bool:
    if row.get("name") is not None:
        return bool(row["name"] == script.name)
    if script.recorded_as:
        return str(row["created_at"]) == script.recorded_as
    # A row from before 1.0 and a folder of 1.0, whose name has the seconds of the former `when`.
    moment = datetime.fromtimestamp(int(row["created_at"]) // 1000, UTC)
    return script.name.startswith(f"{moment:%Y%m%d%H%M%S}_") or row["hash"] == script.raw_hash


def _moment(row: Row | None) -> str:
    return str(row.get("applied_at") or "") if row else ""


def _late(script: Script) -> Finding:
    return Finding(
        "history-late",
        f"{script.path} is not applied, and Drizzle would never run it: files behind it in the "
        "journal are, and the newest of them decides",
        f"give its entry in {_JOURNAL} a `when` above all others, and the last place; or, if its "
        "work is done, take it out",
        ExitCode.BAD_SOURCES,
    )


def _edited(script: Script, row: Row) -> Finding:
    return Finding(
        "history-edited",
        f"{script.path} has been edited since Drizzle applied it: its hash is another than that in "
        f"row {row['id']} of {_SCHEMA}",
        "put the old text back, so that new databases get what this one has",
    )


def _create(table: str) -> tuple[str, ...]:
    # 1.0 adds its columns at its first run.
    return (
        "create schema if not exists drizzle",
        f"""create table if not exists {table}
            (id serial primary key, hash text not null, created_at bigint)""",
    )


def _write(script: Script, table: str, columns: frozenset[str]) -> tuple[str, ...]:
    named = "name" in columns
    values = f"{literal(script.raw_hash)}, {script.recorded_as or _milliseconds(script.name)}"
    return (
        f"""insert into {table} (hash, created_at{", name, applied_at" if named else ""})
            values ({values}{f", {literal(script.name)}, now()" if named else ""})""",
    )


def _milliseconds(name: str) -> int:
    """Return the time in the name of a folder, as 1.0 writes it: in UTC."""
    moment = datetime.strptime(name.partition("_")[0], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1000


FORMAT = Format(
    read,
    History(
        "Drizzle",
        "__drizzle_migrations",
        frozenset({"id", "hash", "created_at"}),
        "id",
        judge,
        mirror=Mirror(_create, _write, "drizzle"),
    ),
    only_by("drizzle-kit generate --custom --name"),
)
