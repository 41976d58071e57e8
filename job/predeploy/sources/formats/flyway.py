"""Flyway: `V<version>__<description>.sql`, then `R__<description>.sql` whenever its text changes.

`U` files are left alone, and so are `B` files beside the versions that they stand for.
https://documentation.red-gate.com/fd/migrations-271585107.html
"""

import hashlib
import re
import tomllib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from predeploy.contract.errors import SourcesError
from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding
from predeploy.contract.quoting import identifier, literal
from predeploy.settings.versions import NO_VERSION, Version, version_of, written
from predeploy.sources.formats.format import (
    TABLE,
    Applied,
    Format,
    History,
    Mirror,
    Row,
    ToolSettings,
    stray,
)
from predeploy.sources.formats.native import same_names
from predeploy.sources.layout import Role, shown
from predeploy.sources.script import Script, script_of, scripts_of
from predeploy.sources.walk import VARIABLES, File, Folder

_NAME = re.compile(r"(?:[VBU]\d+(?:[._]\d+)*|R)__(.+)\.sql")
_CALLBACK = re.compile(r"(before|after|create)[A-Z]\w*\.sql")
_PLACEHOLDER = re.compile(r"\$\{([^{}]+)\}")
_TABLE = "flyway_schema_history"


def read(folder: Folder, problems: list[str]) -> tuple[Script, ...]:
    """Read the versioned files, then the repeatable ones; problems go to `problems`."""
    beside = _beside(folder)
    settings = _settings(beside, problems)
    outside = {
        name.removesuffix(".conf")
        for name, file in beside.items()
        if name.endswith(".sql.conf")
        and _properties(file).get("executeintransaction", "").lower() == "false"
    }
    read_one = partial(_read, home=folder.home, settings=settings, outside=outside)
    found = scripts_of(folder.having(Role.MIGRATION), read_one, problems)
    problems.extend(same_names(found))
    problems.extend(_twice(found))
    versioned = [script for script in found if not script.is_repeatable]
    plain = [script for script in versioned if not _is_baseline(script)]
    newest = max(filter(_is_baseline, versioned), key=lambda s: s.version, default=None)
    # What a baseline stands for may be gone from the folder; then it is the first file.
    if newest and all(script.version > newest.version for script in plain):
        plain.append(newest)
    repeatable = (script for script in found if script.is_repeatable)
    return (
        *sorted(plain, key=lambda script: script.version),
        *sorted(repeatable, key=lambda script: script.name),
    )


def _read(
    file: File, home: str, settings: Mapping[str, str], outside: Iterable[str]
) -> Script | None:
    base = shown(file.name).rpartition("/")[2]
    if _CALLBACK.fullmatch(base):
        what = f"{shown(file.name)}: is a callback, which only Flyway runs; make it a migration"
        raise SourcesError((f"{what}, or move it out of the folder",))
    if not _NAME.fullmatch(base):
        raise stray(file, "Flyway", "V<version>__<description>.sql")
    if base.startswith("U"):
        return None
    script = script_of(file, version=version_of(base))
    text, is_known = _replaced(script, settings)
    is_repeatable = base.startswith("R")
    return replace(
        script,
        text=text,
        # What counts for a repeatable file is what runs.
        raw_hash=hashlib.sha256(text.encode()).hexdigest() if is_repeatable else script.raw_hash,
        recorded_as=str(checksum(text if is_repeatable else script.text)),
        is_repeatable=is_repeatable,
        commits_each=file.name.removeprefix(home) in outside,
        only_by="" if is_known else "Flyway",
    )


def _is_baseline(script: Script) -> bool:
    return script.name.startswith("B")


def _twice(scripts: Iterable[Script]) -> Iterator[str]:
    """Name the files that share a version, which Flyway refuses as well."""
    seen: dict[tuple[Version, bool], Script] = {}
    for script in scripts:
        if script.version:
            first = seen.setdefault((script.version, _is_baseline(script)), script)
            if first is not script:
                yield f"{script.path}: has the version of {first.path}; give one of them another"


def _settings(beside: Mapping[str, File], problems: list[str]) -> dict[str, str]:
    """Return what `flyway.conf`, `flyway.toml` and the environment say, without `flyway.`.

    The last one wins.
    """
    found: dict[str, str] = {}
    for name, parse in (("flyway.conf", _properties), ("flyway.toml", _toml), (VARIABLES, _named)):
        if name in beside:
            try:
                said = parse(beside[name])
            except ValueError as error:
                problems.append(f"{shown(beside[name].name)}: cannot be read: {error}")
                continue
            found |= {key.removeprefix("flyway."): value for key, value in said.items()}
    return found


def settings_of(folder: Folder) -> ToolSettings:
    """Return what the settings say about the schema, and about the history table, which is there.

    Without a default schema it is the first of `schemas`.
    """
    said = _settings(_beside(folder), [])
    schema = said.get("defaultschema") or said.get("schemas", "").partition(",")[0].strip()
    table = said.get("table", _TABLE if schema else "")
    return ToolSettings(f"{schema}.{table}" if schema else table, schema)


def _beside(folder: Folder) -> Mapping[str, File]:
    return {file.name.removeprefix(folder.home): file for file in folder.having(Role.TOOL)}


def _properties(file: File) -> dict[str, str]:
    lines = file.content.decode(errors="replace").splitlines()
    said = (line.split("=", 1) for line in lines if "=" in line and line.lstrip()[:1] not in "#!")
    return {key.strip().lower(): value.strip() for key, value in said}


def _named(file: File) -> dict[str, str]:
    """Return what variables say: FLYWAY_PLACEHOLDERS_APP is `placeholders.app`."""

    def key(name: str) -> str:
        words = name.removeprefix("flyway_")
        own = words.removeprefix("placeholders_")
        return f"placeholders.{own}" if own != words else words.replace("_", "")

    return {key(name): value for name, value in _properties(file).items()}


def _toml(file: File) -> dict[str, str]:
    def flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
        for key, value in table.items():
            if isinstance(value, dict):
                yield from flat(value, f"{prefix}{key.lower()}.")
            elif isinstance(value, list):
                yield f"{prefix}{key.lower()}", ",".join(map(str, value))
            else:
                is_switch = isinstance(value, bool)
                yield f"{prefix}{key.lower()}", str(value).lower() if is_switch else str(value)

    return dict(flat(tomllib.loads(file.content.decode())))


def _replaced(script: Script, settings: Mapping[str, str]) -> tuple[str, bool]:
    """Return the text with the values of its placeholders, and whether all can be known here.

    Raises SourcesError, with the line, for one without a value.
    """
    if settings.get("placeholderreplacement") == "false":
        return script.text, True
    is_known = True

    def value(match: re.Match[str]) -> str:
        nonlocal is_known
        name = match[1].lower()
        if name.startswith("flyway:"):
            is_known = False  # the server's, the user's, the time
            return match[0]
        found = settings.get(f"placeholders.{name}")
        if found is None:
            line = script.text.count("\n", 0, match.start()) + 1
            what = f"{script.path}:{line}: the placeholder {match[0]} has no value; give it one in"
            how = f"flyway.conf beside the migrations: flyway.placeholders.{match[1]}=…; or as the"
            how += f" variable FLYWAY_PLACEHOLDERS_{match[1].upper()}"
            raise SourcesError((f"{what} {how}",))
        return found

    return _PLACEHOLDER.sub(value, script.text), is_known


def checksum(text: str) -> int:
    """Return Flyway's checksum: CRC32 of the lines without their ends, as a signed number."""
    value = 0
    for line in re.split(r"\r\n|\r|\n", text):
        value = zlib.crc32(line.encode(), value)
    return (value + 2**31) % 2**32 - 2**31


@dataclass(frozen=True, slots=True)
class _Standing:
    """The rows that count, by version or description; what failed last; and the newest versions."""

    done: Mapping[str, Row]
    failed: frozenset[str]
    baseline: Version
    newest: Version


def judge(scripts: tuple[Script, ...], rows: tuple[Row, ...]) -> Applied:
    """Return what has been applied; what Flyway's validation refuses is refused here, too."""
    standing = _standing(rows)
    judged = {script.name: _judged(script, standing) for script in scripts}
    applied = {name: found for name, found in judged.items() if isinstance(found, str)}
    refusals = [(name, found) for name, found in judged.items() if isinstance(found, Finding)]
    refusals += [("", _missing(key)) for key in _gone(scripts, standing)[:1]]
    is_ours = applied or any(_key(script) in standing.failed for script in scripts)
    return Applied(applied, tuple(refusals) if is_ours else ())


def _judged(script: Script, standing: _Standing) -> str | Finding | None:
    """Return when a file was applied, why it must not run, or None if it is to run."""
    row = standing.done.get(_key(script))
    if _key(script) in standing.failed:
        return _failed(script)
    if script.version and script.version <= standing.baseline:
        return ""
    if _is_baseline(script):
        return "" if standing.newest >= script.version else None
    if row is None:
        is_late = NO_VERSION < script.version < standing.newest
        return _late(script, standing.newest) if is_late else None
    if row["checksum"] is None or str(row["checksum"]) == script.recorded_as:
        return str(row["installed_on"])
    return None if script.is_repeatable else _edited(script, row)


def _gone(scripts: tuple[Script, ...], standing: _Standing) -> list[str]:
    """Return the versions without a file, except those behind the folder's last."""
    known = {_key(script) for script in scripts}
    last = max((script.version for script in scripts), default=NO_VERSION)
    return [
        key
        for key, row in standing.done.items()
        if key not in known and standing.baseline < _version(row) < last
    ]


def _key(script: Script) -> str:
    return written(script.version) or script.name[len("R__") : -len(".sql")].replace("_", " ")


def _version(row: Row) -> Version:
    return version_of(f"V{row['version']}__") if row["version"] else NO_VERSION


def _standing(rows: Iterable[Row]) -> _Standing:
    done: dict[str, Row] = {}
    failed: set[str] = set()
    for row in sorted(rows, key=lambda row: row["installed_rank"]):
        key = written(_version(row)) or str(row["description"])
        failed.discard(key)
        if not row["success"]:
            failed.add(key)
        elif row["type"] == "DELETE" or row["type"].startswith("UNDO"):
            done.pop(key, None)
        elif row["type"] not in ("BASELINE", "SCHEMA"):
            done[key] = row
    baseline = max((_version(r) for r in rows if r["type"] == "BASELINE"), default=NO_VERSION)
    newest = max((_version(row) for row in done.values()), default=baseline)
    return _Standing(done, frozenset(failed), baseline, newest)


def _failed(script: Script) -> Finding:
    return Finding(
        "history-failed",
        f"Flyway began {script.path} and it failed: what of it is done is not known",
        f"look at `select * from {TABLE} where not success` and at the database; undo what is "
        "done of it, then run `flyway repair`, which removes the row",
        ExitCode.BAD_SOURCES,
    )


def _edited(script: Script, row: Row) -> Finding:
    return Finding(
        "history-edited",
        f"{script.path} has been edited since Flyway applied it at {row['installed_on']}: its "
        f"checksum is {script.recorded_as} and was {row['checksum']}",
        "put the old text back; or, if only its form has changed, run `flyway repair`",
        ExitCode.BAD_SOURCES,
    )


def _late(script: Script, newest: Version) -> Finding:
    return Finding(
        "history-late",
        f"{script.path} is not applied, and Flyway would stop for it: version {written(newest)} is "
        "applied",
        f"give it a version above {written(newest)}, or apply it with `flyway migrate "
        "-outOfOrder=true`",
        ExitCode.BAD_SOURCES,
    )


def _missing(key: str) -> Finding:
    return Finding(
        "history-unknown",
        f"Flyway has applied version {key}, which no file here has",
        "put its file back, or run `flyway repair`, which marks it as deleted",
        ExitCode.BAD_SOURCES,
    )


def _create(table: str) -> tuple[str, ...]:
    name = table.rpartition('"."')[2].rstrip('"')
    key, index = identifier(f"{name}_pk"), identifier(f"{name}_s_idx")
    return (
        f"""create table if not exists {table} (
            installed_rank integer not null constraint {key} primary key,
            version varchar(50), description varchar(200) not null, type varchar(20) not null,
            script varchar(1000) not null, checksum integer, installed_by varchar(100) not null,
            installed_on timestamp not null default now(), execution_time integer not null,
            success boolean not null)""",
        f"create index if not exists {index} on {table} (success)",
    )


def _write(script: Script, table: str, _: frozenset[str]) -> tuple[str, ...]:
    version = literal(written(script.version)) if script.version else "null"
    description = literal(script.name.partition("__")[2].removesuffix(".sql").replace("_", " "))
    kind = "SQL_BASELINE" if _is_baseline(script) else "SQL"
    return (
        f"""insert into {table} (installed_rank, version, description, type, script, checksum,
            installed_by, execution_time, success)
            select coalesce(max(installed_rank), 0) + 1, {version}, {description}, '{kind}',
                {literal(script.name)}, {script.recorded_as}, current_user, 0, true from {table}""",
    )


def _new(names: tuple[str, ...], name: str, _: datetime) -> dict[str, str]:
    versions = (version_of(each.rpartition("/")[2]) for each in names)
    newest = max(versions, default=NO_VERSION) or (0,)
    return {f"V{newest[0] + 1}__{name}.sql": ""}


FORMAT = Format(
    read,
    History(
        "Flyway",
        _TABLE,
        frozenset({"installed_rank", "version", "description", "checksum", "success", "type"}),
        "installed_rank",
        judge,
        mirror=Mirror(_create, _write),
    ),
    _new,
    settings_of,
)
