"""What the operator wrote: the SQL folder as values. The only package that reads files.

Nothing here is parsed as SQL; a file is its name, its text and its hash.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from job.errors import SourcesError
from job.exit_codes import ExitCode
from job.sources.native import read_migrations
from job.sources.script import Script, read_script
from job.sources.walk import is_sql, read_bytes, walk

DECLARATION = "predeploy.toml"
SCHEMA_FILE = "schema.sql"
SCHEMA_FOLDER = "schema"
_FOLDERS = ("migrations", "seed", "verify", SCHEMA_FOLDER, "fallback")
_FILES = (DECLARATION, SCHEMA_FILE)
_LIKENESS = 0.8  # of a name to that of a part: seeds to seed, migration to migrations


@dataclass(frozen=True, slots=True)
class Sources:
    """The SQL folder.

    `migrations` are in the order in which they run, `fallbacks`, `seeds` and `checks` in name
    order. `digest` is the SHA-256 over every file's path and bytes, whatever it is for: what the
    settled key uses. `schema` is the desired state: `schema.sql`, or the files below `schema/` in
    name order; empty without either.
    """

    migrations: tuple[Script, ...]
    seeds: tuple[Script, ...]
    checks: tuple[Script, ...]
    digest: str
    fallbacks: tuple[Script, ...] = ()
    schema: tuple[Script, ...] = ()


def read_declaration(sql_dir: Path) -> str | None:
    """Return the text of `predeploy.toml`, None without one. Raises SourcesError if unreadable."""
    path = sql_dir / DECLARATION
    if not path.is_file():
        return None
    return read_script(path, DECLARATION).text


def load_sources(sql_dir: Path) -> Sources:
    """Read the whole folder. Raises SourcesError with every problem; 66 when it is empty."""
    if not sql_dir.is_dir():
        raise SourcesError(
            (f"the SQL folder {sql_dir} does not exist; mount it or set PREDEPLOY_SQL_DIR",),
            exit_code=ExitCode.NO_INPUT,
        )
    problems = list(_misnamed(sql_dir))
    if not problems and not any((sql_dir / part).exists() for part in (*_FOLDERS, *_FILES)):
        nothing = f"the SQL folder {sql_dir} holds nothing to do"
        raise SourcesError(
            (f"{nothing}; put migrations/, seed/ or verify/ into it",), exit_code=ExitCode.NO_INPUT
        )
    sources = Sources(
        migrations=read_migrations(sql_dir, problems),
        fallbacks=_read_folder(sql_dir, "fallback", problems),
        seeds=_read_folder(sql_dir, "seed", problems),
        checks=_read_folder(sql_dir, "verify", problems),
        digest=_digest(sql_dir),
        schema=_read_schema(sql_dir, problems),
    )
    if problems:
        raise SourcesError(tuple(problems))
    return sources


def _misnamed(sql_dir: Path) -> Iterator[str]:
    """Name what would be passed over in silence: a file for a folder, or almost the right name."""
    yield from (f"{name} is no folder" for name in _FOLDERS if (sql_dir / name).is_file())
    if (sql_dir / DECLARATION).is_dir():
        yield f"{DECLARATION} is no file"
    try:
        names = sorted(entry.name for entry in sql_dir.iterdir() if entry.name[0] != ".")
    except OSError as error:
        yield f"the SQL folder {sql_dir} cannot be read: {error.strerror}"
        return
    absent = {*_FOLDERS, *_FILES} - {*names}
    if len(absent & {SCHEMA_FILE, SCHEMA_FOLDER}) == 1:
        absent -= {SCHEMA_FILE, SCHEMA_FOLDER}  # either will do
    for name in (name for name in names if name not in _FOLDERS and name not in _FILES):
        from difflib import get_close_matches  # noqa: PLC0415 - only where there is a stranger

        for near in get_close_matches(name.lower(), sorted(absent), 1, _LIKENESS):
            yield f"{name} is not read; call it {near}, or something else altogether"


def _read_schema(sql_dir: Path, problems: list[str]) -> tuple[Script, ...]:
    """Read the desired state; two of them would leave open which one is meant."""
    scripts = _read_folder(sql_dir, SCHEMA_FOLDER, problems)
    path = sql_dir / SCHEMA_FILE
    if not path.exists():
        return scripts
    if scripts:
        problems.append(f"{SCHEMA_FILE} and {SCHEMA_FOLDER}/ are both there; keep one of them")
    try:
        return (read_script(path, SCHEMA_FILE),)
    except SourcesError as error:
        problems.extend(error.problems)
        return ()


def _read_folder(sql_dir: Path, folder: str, problems: list[str]) -> tuple[Script, ...]:
    scripts = []
    for name, path in walk(sql_dir / folder):
        if not is_sql(name):
            continue
        try:
            scripts.append(read_script(path, f"{folder}/{name}"))
        except SourcesError as error:
            problems.extend(error.problems)
    return tuple(scripts)


def _digest(sql_dir: Path) -> str:
    sha = hashlib.sha256()
    for name, path in walk(sql_dir):
        try:
            content = read_bytes(path)
        except OSError as error:
            raise SourcesError((f"{name}: cannot be read: {error.strerror}",)) from None
        for part in (os.fsencode(name), content):
            sha.update(len(part).to_bytes(8, "big") + part)
    return sha.hexdigest()
